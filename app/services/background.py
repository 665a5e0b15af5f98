"""Log a failed iteration of a background loop and carry on with the next one."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import AppError
from app.telemetry import get_logger

_log = get_logger(__name__)


@contextmanager
def log_and_continue(event: str) -> Iterator[None]:
    """Log any exception of the block as `event`, with its code or type but without its message, and suppress it."""
    try:
        yield
    except AppError as exc:
        _log.warning(event, code=exc.code)
    except Exception as exc:  # noqa: BLE001 - an exception would end the loop unnoticed
        _log.error(event, error=type(exc).__name__)
