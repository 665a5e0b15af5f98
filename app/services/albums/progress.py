"""Watch albums: one query a second and process, whatever the number of albums and of those who watch."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from uuid import UUID

from app.domain.albums import PhotoCounts
from app.persistence.connections.database import Database
from app.persistence.repositories.albums import count_photos_of
from app.services.background import log_and_continue

_PAUSE_S = 1.0
_RATE_OVER = 10
"""How many counts the rate is measured over."""

WatchedId = tuple[UUID, UUID]
"""A tenant's and an album's collection id."""


@dataclass(frozen=True, slots=True)
class Progress:
    """An album's photos by state, how many were finished per second lately, and when the rest will be, in seconds."""

    counts: PhotoCounts
    photos_per_second: float
    remaining_s: float | None
    """None while nothing was finished lately."""

    @property
    def id(self) -> str:
        """Identifies the counts, so that a stream that goes on need not repeat them."""
        return ".".join(str(count) for count in astuple(self.counts))


@dataclass(slots=True, eq=False)
class _Watched:
    """An album that somebody watches: the latest progress, and the photos finished at some times."""

    watchers: int = 0
    progress: Progress | None = None
    is_gone: bool = False
    finished: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_RATE_OVER))

    def note(self, counts: PhotoCounts, at: float) -> None:
        self.finished.append((at, counts.done + counts.failed))
        (first_at, first), (last_at, last) = self.finished[0], self.finished[-1]
        rate = max(0, last - first) / (last_at - first_at) if last_at > first_at else 0.0
        remaining = 0.0 if not counts.waiting else (counts.waiting / rate if rate else None)
        self.progress = Progress(counts, rate, remaining)


class ProgressWatch:
    """Counts the watched albums of one process while there are any; use it from the event loop."""

    def __init__(self, database: Database, *, pause_s: float = _PAUSE_S) -> None:
        self._database = database
        self._pause_s = pause_s
        self._watched: dict[WatchedId, _Watched] = {}
        self._counted = asyncio.Condition()
        self._counting: asyncio.Task[None] | None = None

    async def follow(self, album: WatchedId) -> AsyncIterator[Progress]:
        """Yield the album's progress after every count, until it is erased; it may be the same as before."""
        watched = self._watched.setdefault(album, _Watched())
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
                del self._watched[album]

    async def close(self) -> None:
        """Stop counting."""
        if self._counting is not None:
            self._counting.cancel()
            with suppress(asyncio.CancelledError):
                await self._counting

    async def _count_forever(self) -> None:
        while self._watched:
            with log_and_continue("albums_not_counted"):
                await self._count()
            async with self._counted:
                self._counted.notify_all()
            await asyncio.sleep(self._pause_s)
        self._counting = None

    async def _count(self) -> None:
        asked = list(self._watched)
        counts = await count_photos_of(self._database, asked)
        now = time.monotonic()
        for album in asked:
            watched = self._watched.get(album)
            if watched is None:
                continue
            if album[1] in counts:
                watched.note(counts[album[1]], now)
            else:
                watched.is_gone = True
