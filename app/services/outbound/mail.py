"""Send mails through the operator's SMTP server, in the background; no log has an address or a text."""

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from app.telemetry import get_logger

_log = get_logger(__name__)

_TIMEOUT_S = 15
_MAX_WAITING = 200
_AT_A_TIME = 4
_PAUSES_S = (2.0, 20.0)
"""The pauses after failed attempts; after the last attempt the mail is given up."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """An SMTP server and the sender of mails. `url` is as in `VULTUS_SMTP_URL`."""

    url: str = field(repr=False)
    sender: str

    def send(self, message: EmailMessage) -> None:
        """Send a message; blocks. Raises `OSError` or `smtplib.SMTPException`."""
        parts = urlsplit(self.url)
        host = parts.hostname or "localhost"
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            client: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=_TIMEOUT_S, context=context)
        else:
            client = smtplib.SMTP(host, parts.port or 587, timeout=_TIMEOUT_S)
        with client:
            if parts.scheme == "smtp":
                client.starttls(context=context)
            if parts.username:
                client.login(unquote(parts.username), unquote(parts.password or ""))
            client.send_message(message)


class Mailer:
    """Sends mails without letting anybody wait; without a server it sends none."""

    def __init__(self, server: MailServer | None) -> None:
        self._server = server
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_configured(self) -> bool:
        return self._server is not None

    def post(self, to: str, subject: str, text: str) -> None:
        """Begin to send a mail; a failure is repeated twice, then logged. Mails beyond 200 waiting are dropped."""
        if self._server is None:
            return
        if len(self._tasks) >= _MAX_WAITING:
            _log.warning("mail_dropped", waiting=len(self._tasks))
            return
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._server.sender, to, subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="vultus.invalid")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        self._begin(self._server.send, message)

    async def close(self) -> None:
        """Wait a moment for mails that are being sent, then give up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_TIMEOUT_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, send: Callable[[EmailMessage], None], message: EmailMessage) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(send, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, send: Callable[[EmailMessage], None], message: EmailMessage) -> None:
        for pause_s in (*_PAUSES_S, None):
            try:
                async with self._places:
                    await asyncio.to_thread(send, message)
            except (OSError, smtplib.SMTPException) as exc:
                _log.warning("mail_failed", error=type(exc).__name__, will_repeat=pause_s is not None)
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
                continue
            return
