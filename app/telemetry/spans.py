"""Mark what requests and jobs spend their time on, as spans of traces. Does nothing unless `tracing.py` exports them.

Names and attributes are our own words and numbers: a span must never have an id, a name, a path, a query, a statement
or a message of an error. What callers send is read here only from `traceparent`, which is random hexadecimal digits.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.errors import AppError

Value = str | int | float | bool

# A later version of the format may append fields.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 0x01


class SpanKind(StrEnum):
    """Where a span stands between services."""

    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class SpanPlace:
    """Which span of which trace: what a child, or another service, needs to know of its parent."""

    trace_id: int
    span_id: int
    is_sampled: bool

    @property
    def traceparent(self) -> str:
        """The place in the format of W3C Trace Context."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.is_sampled:02x}"

    @staticmethod
    def read(traceparent: str | None) -> "SpanPlace | None":
        """Read a `traceparent`; None if it is absent or malformed."""
        found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if found is None:
            return None
        return SpanPlace(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & _SAMPLED))


class Span(Protocol):
    """A span that has begun."""

    @property
    def place(self) -> SpanPlace: ...

    @property
    def is_ended(self) -> bool: ...

    def rename(self, name: str) -> None: ...

    def set(self, name: str, value: Value) -> None: ...

    def fail(self, error: str, is_ours: bool) -> None:
        """Note the kind of error; `is_ours` if the service failed, and not only this caller."""

    def end(self) -> None: ...


class Tracer(Protocol):
    """Starts spans. `parent` None starts a trace; `started_ns` counts from 1970 and is now by default."""

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: SpanPlace | None,
        *,
        is_remote: bool = False,
        link: SpanPlace | None = None,
        attributes: Mapping[str, Value] | None = None,
        started_ns: int | None = None,
    ) -> Span: ...


_tracer: Tracer | None = None
_current: ContextVar[Span | None] = ContextVar("current_span", default=None)


@contextmanager
def tracer_in_use(tracer: Tracer) -> Iterator[None]:
    """Start spans with this tracer during the block."""
    global _tracer  # noqa: PLW0603 - one per process, like the logger's configuration
    before, _tracer = _tracer, tracer
    try:
        yield
    finally:
        _tracer = before


def current_place() -> SpanPlace | None:
    """Return the place of the current span; None unless it is exported and runs.

    Tasks inherit the span that started them, and may outlive it.
    """
    span = _current.get()
    return span.place if span is not None and span.place.is_sampled and not span.is_ended else None


def current_traceparent() -> str | None:
    """Return what continues the current trace; None unless it is exported."""
    place = current_place()
    return place.traceparent if place is not None else None


@contextmanager
def root_span(name: str, kind: SpanKind, traceparent: str | None = None) -> Iterator[Span | None]:
    """Start a trace, or continue the caller's, for the block. Yields None without a tracer.

    The tracer decides whether the trace is exported; spans below one that is not cost nothing.
    """
    if _tracer is None:
        yield None
        return
    yield from _run(_tracer.start(name, kind, SpanPlace.read(traceparent), is_remote=True))


@contextmanager
def child_span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, Value] | None = None
) -> Iterator[Span | None]:
    """Start a span below the current one for the block. Yields None if there is none that is exported."""
    place = current_place()
    if _tracer is None or place is None:
        yield None
        return
    yield from _run(_tracer.start(name, kind, place, attributes=attributes))


@contextmanager
def continued_span(
    name: str, kind: SpanKind, traceparent: str | None, attributes: Mapping[str, Value] | None = None
) -> Iterator[Span | None]:
    """Continue the trace of the change that caused this work, with a link to the current span.

    Without a stored `traceparent`, the span is a child of the current one.
    """
    parent = SpanPlace.read(traceparent)
    if _tracer is None or parent is None:
        with child_span(name, kind, attributes) as span:
            yield span
        return
    yield from _run(_tracer.start(name, kind, parent, is_remote=True, link=current_place(), attributes=attributes))


def record_span(name: str, seconds: float, parent: SpanPlace | None) -> None:
    """Record a span that has just ended, below `parent`; does nothing if that is None."""
    if _tracer is None or parent is None:
        return
    started_ns = time.time_ns() - int(seconds * 1e9)
    _tracer.start(name, SpanKind.INTERNAL, parent, started_ns=started_ns).end()


def _run(span: Span) -> Iterator[Span]:
    outer = _current.get()
    _current.set(span)
    try:
        yield span
    except BaseException as exc:
        span.fail(*_describe(exc))
        raise
    finally:
        # Not `reset`: a generator may be closed in another context than the one that it began in.
        _current.set(outer)
        span.end()


def _describe(error: BaseException) -> tuple[str, bool]:
    """Return the kind of an error, and whether the service failed; never its message."""
    if isinstance(error, AppError):
        return error.code, error.status >= 500
    return type(error).__name__, isinstance(error, Exception)
