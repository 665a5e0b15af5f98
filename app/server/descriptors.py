"""Log a lack of file descriptors once a minute; asyncio logs it for every client that it cannot accept."""

import asyncio
import errno
import time
from typing import Any

from app.telemetry import get_logger

_log = get_logger(__name__)

_PAUSE_S = 60.0
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def log_exhaustion_once(loop: asyncio.AbstractEventLoop) -> None:
    """Replace the loop's log lines about clients that it cannot accept; asyncio itself waits a second each time."""
    logged_at = float("-inf")

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal logged_at
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _EXHAUSTED:
            loop.default_exception_handler(context)
        elif time.monotonic() - logged_at > _PAUSE_S:
            logged_at = time.monotonic()
            _log.error("clients_not_accepted", error=errno.errorcode[error.errno])

    loop.set_exception_handler(handle)
