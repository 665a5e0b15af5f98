"""Log once a minute that file descriptors run out: then clients cannot be accepted.

uvloop closes such connections without a word. asyncio logs every one of them, and waits a second each time.
"""

import asyncio
import errno
import sys
import time
from typing import Any

from app.telemetry import get_logger

if sys.platform != "win32":  # which has no such limit, and no uvloop
    import resource

_log = get_logger(__name__)

_PAUSE_S = 60.0
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_RESERVE = 8
"""Descriptors below the limit that count as the last ones: uvloop and other threads use some."""


class _ExhaustionLog:
    """Logs at most once a minute."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def write(self, error: str) -> None:
        if time.monotonic() - self._logged_at > _PAUSE_S:
            self._logged_at = time.monotonic()
            _log.error("clients_not_accepted", error=error)


_exhaustion = _ExhaustionLog()


def log_exhaustion_once(loop: asyncio.AbstractEventLoop) -> None:
    """Replace the loop's log lines about clients that it cannot accept."""
    exhaustion = _ExhaustionLog()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _EXHAUSTED:
            loop.default_exception_handler(context)
        else:
            exhaustion.write(errno.errorcode[error.errno])

    loop.set_exception_handler(handle)


def log_last_descriptor(descriptor: int) -> None:
    """Log that descriptors run out if this one, of a new connection, is among the last.

    The system always gives the lowest free number, so all lower ones are in use.
    """
    if sys.platform == "win32":
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and descriptor >= limit - _RESERVE:
        _exhaustion.write(errno.errorcode[errno.EMFILE])
