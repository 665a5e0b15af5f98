"""A real SMTP server on this machine, which keeps what it receives."""

import asyncio
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from queue import Queue
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Mails:
    """Received mails, in order; `url` is for `VULTUS_SMTP_URL`."""

    url: str = ""
    received: "Queue[EmailMessage]" = field(default_factory=Queue)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.received.put(message)
        return "250 kept"

    async def take(self) -> EmailMessage:
        """Wait for the next mail; raises `queue.Empty` if none comes."""
        return await asyncio.to_thread(self.received.get, timeout=20)

    async def take_token(self, to: str) -> str:
        """Return the token of the link in the next mail, which must be to this address."""
        message = await self.take()
        assert message["To"] == to
        found = re.search(r"#(v[ir]_[\w-]+)", str(message.get_content()))
        assert found is not None
        return found[1]


@contextmanager
def serving_mails() -> Iterator[Mails]:
    """Run an SMTP server without TLS during the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mails = Mails(f"smtp+plain://127.0.0.1:{port}")
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # it would log every line of a mail
    controller = Controller(mails, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mails
    finally:
        controller.stop()
