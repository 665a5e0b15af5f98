"""Watch albums or videos: one query a second and process, whatever their number and that of those who watch."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from uuid import UUID

from app.persistence.connections.database import Database
from app.services.background import log_and_continue

_PAUSE_S = 1.0
_RATE_OVER = 10
"""How many counts the rate is measured over."""

WatchedId = tuple[UUID, UUID]
"""The id of a tenant, and that of what is watched."""


class Counted(Protocol):
    """What is counted of something that is watched: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def finished(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def is_done(self) -> bool: ...


C = TypeVar("C", bound=Counted)

Count = Callable[[Database, list[WatchedId]], Awaitable[dict[UUID, C]]]
"""Counts what is watched, of any tenants, in one query; what does not exist anymore is missing."""


@dataclass(frozen=True, slots=True)
class Progress(Generic[C]):
    """The counts of something, how much was finished per second lately, and when the rest will be, in seconds."""

    counts: C
    per_second: float
    remaining_s: float | None
    """None while nothing was finished lately."""

    @property
    def id(self) -> str:
        """Identifies the counts, so that a stream that goes on need not repeat them."""
        return ".".join(str(count) for count in astuple(self.counts))


@dataclass(slots=True, eq=False)
class _Watched(Generic[C]):
    """Something that somebody watches: the latest progress, and how much was finished at some times."""

    watchers: int = 0
    progress: Progress[C] | None = None
    is_gone: bool = False
    finished: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_RATE_OVER))

    def note(self, counts: C, at: float) -> None:
        self.finished.append((at, counts.finished))
        (first_at, first), (last_at, last) = self.finished[0], self.finished[-1]
        rate = max(0, last - first) / (last_at - first_at) if last_at > first_at else 0.0
        remaining = 0.0 if not counts.waiting else (counts.waiting / rate if rate else None)
        self.progress = Progress(counts, rate, remaining)


class ProgressWatch(Generic[C]):
    """Counts what is watched in one process while there is any; use it from the event loop."""

    def __init__(self, database: Database, count: Count[C], *, pause_s: float = _PAUSE_S) -> None:
        self._database = database
        self._count_each = count
        self._pause_s = pause_s
        self._watched: dict[WatchedId, _Watched[C]] = {}
        self._counted = asyncio.Condition()
        self._counting: asyncio.Task[None] | None = None

    async def follow(self, wanted: WatchedId) -> AsyncIterator[Progress[C]]:
        """Yield the progress after every count, until what is watched is erased; it may be the same as before."""
        watched = self._watched.setdefault(wanted, _Watched())
        watched.watchers += 1
        if self._counting is None:
            self._counting = asyncio.create_task(self._count_forever())
        try:
            while not watched.is_gone:
                async with self._counted:
                    await self._counted.wait()
                if watched.progress is not None and not watched.is_gone:
                    yield watched.progress
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                del self._watched[wanted]

    async def close(self) -> None:
        """Stop counting."""
        if self._counting is not None:
            self._counting.cancel()
            with suppress(asyncio.CancelledError):
                await self._counting

    async def _count_forever(self) -> None:
        while self._watched:
            with log_and_continue("progress_not_counted"):
                await self._count()
            async with self._counted:
                self._counted.notify_all()
            await asyncio.sleep(self._pause_s)
        self._counting = None

    async def _count(self) -> None:
        asked = list(self._watched)
        counts = await self._count_each(self._database, asked)
        now = time.monotonic()
        for one in asked:
            watched = self._watched.get(one)
            if watched is None:
                continue
            if one[1] in counts:
                watched.note(counts[one[1]], now)
            else:
                watched.is_gone = True
