"""Galleries in this process's memory: small ones as a whole, of large ones the codes.

A cache is never wrong. Codes only propose places; PostgreSQL compares the embeddings there in the search's own
snapshot, and beside them every template that came after the cache was filled. A whole gallery answers only while the
database says that nothing in it changed. So what was erased is not found, what was stored a moment ago is. What is held
is brought up to date in the background, never by a search.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from app.errors import AppError
from app.matcher.cached_codes import BYTES_A_CODE, CachedCodes, parse_codes
from app.matcher.cached_gallery import BYTES_A_TEMPLATE, CachedGallery, parse_gallery
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.strategy import GalleryFacts
from app.persistence.connections.snapshots import SnapshotPool
from app.telemetry import get_logger

_log = get_logger(__name__)

_MAX_NEWER = 2_000  # templates that a search compares beside the codes before they are loaded as well
_IDLE_S = 900.0
_SWEEP_S = 60.0
_IN_USE_S = 60.0  # a whole gallery takes no memory from what was used so lately
_REST = 20.0  # times as long as loading took, before small changes make it load again

Cached = CachedCodes | CachedGallery


@dataclass(slots=True)
class _Entry:
    tenant_id: UUID
    held: Cached
    used_at: float


class GalleryCache:
    """What the galleries searched lately hold, within a budget; one per process, used from its loop only.

    Galleries of up to `whole_to` templates are held as a whole, in at most half of the budget.
    """

    def __init__(self, pool: SnapshotPool, *, max_bytes: int, whole_to: int, rest: float = _REST) -> None:
        self._pool = pool  # of its own: filling the cache must not wait for searches, nor they for it
        self._max_bytes = max_bytes
        self._whole_to = whole_to
        self._rest = rest
        self._entries: OrderedDict[UUID, _Entry] = OrderedDict()
        self._whole: dict[tuple[UUID, UUID, str], UUID] = {}
        """The galleries held as a whole, by tenant, collection and recognizer."""
        self._loading: dict[UUID, asyncio.Task[None]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def has_room_for(self, templates: int) -> bool:
        """Whether the codes of a gallery of this size may be held at all."""
        return templates * BYTES_A_CODE <= self._max_bytes

    def look_up(self, tenant_id: UUID, facts: GalleryFacts, *, wants_codes: bool = True) -> Cached | None:
        """What is here of the gallery, if it is of its epoch; what is missing or stale is loaded meanwhile.

        Without `wants_codes`, the gallery is so small that only the whole of it is worth holding.
        """
        entry = self._entries.get(facts.id)
        is_whole = self._may_be_whole(facts, entry)
        if not is_whole and not (wants_codes and self.has_room_for(facts.templates)):
            self._drop(facts.id)
            return None
        if entry is None or self._is_stale(entry.held, facts) or (is_whole and isinstance(entry.held, CachedCodes)):
            self._load(tenant_id, facts.id, as_whole=is_whole)
        if entry is None or entry.held.epoch != facts.epoch:
            return None
        self._use(facts.id, entry)
        return entry.held

    def find_whole(self, tenant_id: UUID, collection_id: UUID, recognizer: str) -> CachedGallery | None:
        """The collection's gallery, if the whole of it is here; it may have changed since."""
        gallery_id = self._whole.get((tenant_id, collection_id, recognizer))
        entry = self._entries.get(gallery_id) if gallery_id is not None else None
        if entry is None or not isinstance(entry.held, CachedGallery):
            return None
        self._use(entry.held.version.id, entry)
        return entry.held

    async def loaded(self) -> None:
        """Wait for everything that is being loaded."""
        while self._loading:
            await asyncio.gather(*self._loading.values(), return_exceptions=True)

    async def close(self) -> None:
        """Forget everything and close the connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._loading.values():
            task.cancel()
        await self.loaded()
        self._entries.clear()
        self._whole.clear()
        await self._pool.close()

    def _may_be_whole(self, facts: GalleryFacts, entry: _Entry | None) -> bool:
        """Whether it is small enough, and no gallery that was used lately would have to go for it."""
        wanted = facts.templates * BYTES_A_TEMPLATE
        if facts.templates > self._whole_to or 2 * wanted > self._max_bytes:
            return False
        if entry is not None and isinstance(entry.held, CachedGallery):
            return True
        lately = time.monotonic() - _IN_USE_S
        in_use = [other.held for other in self._entries.values() if other is not entry and other.used_at > lately]
        whole = sum(held.size_bytes for held in in_use if isinstance(held, CachedGallery))
        return 2 * (whole + wanted) <= self._max_bytes and wanted <= self._max_bytes - sum(
            held.size_bytes for held in in_use
        )

    def _is_stale(self, held: Cached, facts: GalleryFacts) -> bool:
        if held.epoch != facts.epoch or facts.last_seq - held.upto > max(256, min(len(held.seqs) // 200, _MAX_NEWER)):
            return True
        if time.monotonic() - held.loaded_at <= self._rest * held.loading_s:
            return False
        is_behind = isinstance(held, CachedGallery) and held.upto != facts.last_seq
        return is_behind or held.deletions != facts.deletions

    def _use(self, gallery_id: UUID, entry: _Entry) -> None:
        entry.used_at = time.monotonic()
        self._entries.move_to_end(gallery_id)

    def _load(self, tenant_id: UUID, gallery_id: UUID, *, as_whole: bool) -> None:
        if gallery_id not in self._loading:
            task = asyncio.create_task(self._bring_up_to_date(tenant_id, gallery_id, as_whole))
            self._loading[gallery_id] = task
            task.add_done_callback(lambda _: self._loading.pop(gallery_id, None))

    async def _bring_up_to_date(self, tenant_id: UUID, gallery_id: UUID, as_whole: bool) -> None:
        entry = self._entries.get(gallery_id)
        try:
            async with self._pool.snapshot(tenant_id) as connection:
                statements = GalleryStatements(connection, tenant_id)
                read = _read_whole if as_whole else _read_codes
                held = await read(statements, gallery_id, entry.held if entry is not None else None)
        except AppError as exc:  # searches go on without it, and the next one tries again
            _log.warning("gallery_not_loaded", code=exc.code)
            return
        self._drop(gallery_id)
        if held is not None:
            self._hold(tenant_id, gallery_id, held)

    def _hold(self, tenant_id: UUID, gallery_id: UUID, held: Cached) -> None:
        self._entries[gallery_id] = _Entry(tenant_id, held, time.monotonic())
        if isinstance(held, CachedGallery):
            self._whole[tenant_id, held.version.collection_id, held.version.recognizer] = gallery_id
        while sum(entry.held.size_bytes for entry in self._entries.values()) > self._max_bytes:
            self._drop(next(iter(self._entries)))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Nobody's templates stay in memory longer than they are used."""
        for gallery_id, entry in list(self._entries.items()):
            if time.monotonic() - entry.used_at > _IDLE_S:
                self._drop(gallery_id)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep) if self._entries else None

    def _drop(self, gallery_id: UUID) -> None:
        entry = self._entries.pop(gallery_id, None)
        if entry is not None and isinstance(entry.held, CachedGallery):
            version = entry.held.version
            self._whole.pop((entry.tenant_id, version.collection_id, version.recognizer), None)


async def _read_codes(statements: GalleryStatements, gallery_id: UUID, held: Cached | None) -> CachedCodes | None:
    """The codes as they are now: what came after `held`, or all if some went or changed; None if there are none."""
    started, version = time.monotonic(), await statements.read_version(gallery_id)
    if version is None:
        return None
    before = held if isinstance(held, CachedCodes) and version.goes_on_from(held.deletions, held.epoch) else None
    copied = await statements.copy_codes(gallery_id, after=before.upto if before else 0)
    return await asyncio.to_thread(parse_codes, copied, version, before, started)


async def _read_whole(statements: GalleryStatements, gallery_id: UUID, held: Cached | None) -> CachedGallery | None:
    """The gallery as it is now, likewise; None if nothing is in it."""
    started, version = time.monotonic(), await statements.read_version(gallery_id)
    if version is None or not version.templates:
        return None
    before = held if isinstance(held, CachedGallery) and version.goes_on_from(held.deletions, held.epoch) else None
    copied = await statements.copy_templates(gallery_id, after=before.upto if before else 0)
    return await asyncio.to_thread(parse_gallery, copied, version, before, started)
