"""For what runs beside the requests as long as the server does: one bad round is logged, and the next one comes."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import AppError
from app.telemetry import get_logger

_log = get_logger(__name__)


@contextmanager
def log_and_continue(event: str) -> Iterator[None]:
    """Whatever goes wrong in the block is logged under the event's name, without its message, and no more."""
    try:
        yield
    except AppError as exc:
        _log.warning(event, code=exc.code)
    except Exception as exc:  # noqa: BLE001 - a loop that ended would be noticed by nobody
        _log.error(event, error=type(exc).__name__)
