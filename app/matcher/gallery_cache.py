"""Galleries in this process's memory: small ones whole, large ones as codes.

The cache never makes a result wrong:

- Codes only select templates. PostgreSQL compares their embeddings in the search's snapshot, together with every
  template newer than the cached codes.
- A whole gallery is used only if the database confirms that nothing in it has changed.

So deleted templates are never found, and new ones are found at once. Searches never wait for the cache: it is loaded
and refreshed in the background.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from app.errors import AppError
from app.matcher.cached_codes import BYTES_PER_CODE, CachedCodes, parse_codes
from app.matcher.cached_gallery import BYTES_PER_TEMPLATE, CachedGallery, parse_gallery
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.strategy import GalleryFacts
from app.persistence.connections.snapshots import SnapshotPool
from app.telemetry import get_logger

_log = get_logger(__name__)

_MAX_NEWER = 2_000
"""Templates newer than cached codes before they are refreshed; until then every search compares their embeddings."""
_IDLE_S = 900.0
_SWEEP_S = 60.0
_IN_USE_S = 60.0
"""A gallery used this recently is not evicted to cache another one whole."""
_RELOAD_FACTOR = 20.0
"""Deletions, and any change of a whole gallery, are loaded only after this many times the last loading time."""

Cached = CachedCodes | CachedGallery


@dataclass(slots=True)
class _Entry:
    tenant_id: UUID
    cached: Cached
    used_at: float


class GalleryCache:
    """An LRU cache of recently searched galleries, limited to `max_bytes`; one per process, used from its loop only.

    Galleries of up to `max_whole_templates` templates are cached whole, in at most half of `max_bytes`. The cache has
    its own connections, so that loading and searches never wait for each other.
    """

    def __init__(
        self, pool: SnapshotPool, *, max_bytes: int, max_whole_templates: int, reload_factor: float = _RELOAD_FACTOR
    ) -> None:
        self._pool = pool
        self._max_bytes = max_bytes
        self._max_whole_templates = max_whole_templates
        self._reload_factor = reload_factor
        self._entries: OrderedDict[UUID, _Entry] = OrderedDict()
        """By gallery id, least recently used first."""
        self._whole: dict[tuple[UUID, UUID, str], UUID] = {}
        """The ids of the galleries cached whole, by tenant, collection and recognizer."""
        self._loading: dict[UUID, asyncio.Task[None]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def has_room_for(self, templates: int) -> bool:
        """Return whether the codes of a gallery of this size fit the cache."""
        return templates * BYTES_PER_CODE <= self._max_bytes

    def look_up(self, tenant_id: UUID, facts: GalleryFacts, *, wants_codes: bool = True) -> Cached | None:
        """Return the cached gallery if it has the current epoch, and start to load it if it is missing or stale.

        Without `wants_codes`, only a whole gallery is cached: exact comparison of a small gallery needs no codes.
        """
        entry = self._entries.get(facts.id)
        is_whole = self._fits_whole(facts, entry)
        if not is_whole and not (wants_codes and self.has_room_for(facts.templates)):
            self._drop(facts.id)
            return None
        if entry is None or self._is_stale(entry.cached, facts) or (is_whole and isinstance(entry.cached, CachedCodes)):
            self._load(tenant_id, facts.id, as_whole=is_whole)
        if entry is None or entry.cached.epoch != facts.epoch:
            return None
        self._touch(facts.id, entry)
        return entry.cached

    def find_whole(self, tenant_id: UUID, collection_id: UUID, recognizer: str) -> CachedGallery | None:
        """Return the collection's gallery if it is cached whole; the caller must check its version."""
        gallery_id = self._whole.get((tenant_id, collection_id, recognizer))
        entry = self._entries.get(gallery_id) if gallery_id is not None else None
        if entry is None or not isinstance(entry.cached, CachedGallery):
            return None
        self._touch(entry.cached.version.id, entry)
        return entry.cached

    async def wait_until_loaded(self) -> None:
        """Wait for everything that is being loaded."""
        while self._loading:
            await asyncio.gather(*self._loading.values(), return_exceptions=True)

    async def close(self) -> None:
        """Empty the cache and close its connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._loading.values():
            task.cancel()
        await self.wait_until_loaded()
        self._entries.clear()
        self._whole.clear()
        await self._pool.close()

    def _fits_whole(self, facts: GalleryFacts, entry: _Entry | None) -> bool:
        """Return whether the gallery may be cached whole: it is small enough, and evicts no recently used gallery."""
        needed = facts.templates * BYTES_PER_TEMPLATE
        if facts.templates > self._max_whole_templates or 2 * needed > self._max_bytes:
            return False
        if entry is not None and isinstance(entry.cached, CachedGallery):
            return True
        oldest_use = time.monotonic() - _IN_USE_S
        in_use = [other.cached for other in self._entries.values() if other is not entry and other.used_at > oldest_use]
        whole = sum(cached.size_bytes for cached in in_use if isinstance(cached, CachedGallery))
        return 2 * (whole + needed) <= self._max_bytes and needed <= self._max_bytes - sum(
            cached.size_bytes for cached in in_use
        )

    def _is_stale(self, cached: Cached, facts: GalleryFacts) -> bool:
        newer = facts.last_seq - cached.through_seq
        if cached.epoch != facts.epoch or newer > max(256, min(len(cached.seqs) // 200, _MAX_NEWER)):
            return True
        if time.monotonic() - cached.loaded_at <= self._reload_factor * cached.loading_s:
            return False
        is_behind = isinstance(cached, CachedGallery) and newer != 0
        return is_behind or cached.deletions != facts.deletions

    def _touch(self, gallery_id: UUID, entry: _Entry) -> None:
        entry.used_at = time.monotonic()
        self._entries.move_to_end(gallery_id)

    def _load(self, tenant_id: UUID, gallery_id: UUID, *, as_whole: bool) -> None:
        if gallery_id not in self._loading:
            task = asyncio.create_task(self._refresh(tenant_id, gallery_id, as_whole))
            self._loading[gallery_id] = task
            task.add_done_callback(lambda _: self._loading.pop(gallery_id, None))

    async def _refresh(self, tenant_id: UUID, gallery_id: UUID, as_whole: bool) -> None:
        entry = self._entries.get(gallery_id)
        try:
            async with self._pool.snapshot(tenant_id) as connection:
                statements = GalleryStatements(connection, tenant_id)
                read = _read_whole if as_whole else _read_codes
                cached = await read(statements, gallery_id, entry.cached if entry is not None else None)
        except AppError as exc:  # searches continue without the cache, and the next one tries again
            _log.warning("gallery_not_loaded", code=exc.code)
            return
        self._drop(gallery_id)
        if cached is not None:
            self._store(tenant_id, gallery_id, cached)

    def _store(self, tenant_id: UUID, gallery_id: UUID, cached: Cached) -> None:
        self._entries[gallery_id] = _Entry(tenant_id, cached, time.monotonic())
        if isinstance(cached, CachedGallery):
            self._whole[tenant_id, cached.version.collection_id, cached.version.recognizer] = gallery_id
        while sum(entry.cached.size_bytes for entry in self._entries.values()) > self._max_bytes:
            self._drop(next(iter(self._entries)))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Drop galleries that were not searched for 15 minutes: templates stay in memory only while in use."""
        for gallery_id, entry in list(self._entries.items()):
            if time.monotonic() - entry.used_at > _IDLE_S:
                self._drop(gallery_id)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep) if self._entries else None

    def _drop(self, gallery_id: UUID) -> None:
        entry = self._entries.pop(gallery_id, None)
        if entry is not None and isinstance(entry.cached, CachedGallery):
            version = entry.cached.version
            self._whole.pop((entry.tenant_id, version.collection_id, version.recognizer), None)


async def _read_codes(statements: GalleryStatements, gallery_id: UUID, cached: Cached | None) -> CachedCodes | None:
    """Read the current codes; None if the gallery was deleted.

    Only newer codes are read if `cached` is codes, and templates were only added since.
    """
    started, version = time.monotonic(), await statements.read_version(gallery_id)
    if version is None:
        return None
    previous = None
    if isinstance(cached, CachedCodes) and version.has_only_additions_since(cached.deletions, cached.epoch):
        previous = cached
    copied = await statements.copy_codes(gallery_id, after=previous.through_seq if previous else 0)
    return await asyncio.to_thread(parse_codes, copied, version, previous, started)


async def _read_whole(statements: GalleryStatements, gallery_id: UUID, cached: Cached | None) -> CachedGallery | None:
    """Read the whole current gallery, only its newer templates where possible; None if it is empty or was deleted."""
    started, version = time.monotonic(), await statements.read_version(gallery_id)
    if version is None or not version.templates:
        return None
    previous = None
    if isinstance(cached, CachedGallery) and version.has_only_additions_since(cached.deletions, cached.epoch):
        previous = cached
    copied = await statements.copy_templates(gallery_id, after=previous.through_seq if previous else 0)
    return await asyncio.to_thread(parse_gallery, copied, version, previous, started)
