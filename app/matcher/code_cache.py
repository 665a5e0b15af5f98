"""The codes of galleries in this process's memory: 72 bytes a template, compared many times faster than in SQL.

The codes only propose places; PostgreSQL compares the embeddings there in the search's own snapshot, and beside them
every template that came after the cache was filled. So a cache is never wrong: what was erased is not found, what was
stored a moment ago is. What it holds is brought up to date in the background, never by a search.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.domain import EMBEDDING_SIZE, Embedding
from app.errors import AppError
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.strategy import CodeDepth, GalleryFacts
from app.persistence.search_pool import SearchPool
from app.telemetry import get_logger

_log = get_logger(__name__)

_WORDS = EMBEDDING_SIZE // 64
_BYTES_A_TEMPLATE = 8 * _WORDS + 8
_BLOCK = 65_536  # codes compared at a time: a block's intermediate results stay in the processor's cache
_MOST_NEWER = 2_000  # templates that a search compares beside the codes before they are loaded as well
_IDLE_S = 900.0
_SWEEP_S = 60.0
_REST_AFTER_LOADING = 20  # times as long as loading took, before erasures alone make it load again

# A row of `COPY ... (FORMAT binary)`: number of columns, then each with its length before it (PostgreSQL, COPY).
_ROW = np.dtype(
    [("columns", ">i2"), ("length", ">i4"), ("seq", ">i8"), ("code_length", ">i4"), ("bits", ">i4"), ("code", "u1", 64)]
)
_COPY_HEADER_BYTES = 19


@dataclass(frozen=True, slots=True)
class CachedCodes:
    """The codes of a gallery's templates up to the place `upto`.

    `seqs` is (n,) int64, ascending; `words` is (8, n) uint64: one row for each 64 bits, so that a comparison runs
    along memory.
    """

    epoch: int
    deletions: int
    upto: int
    seqs: NDArray[np.int64]
    words: NDArray[np.uint64]
    loaded_at: float = field(default_factory=time.monotonic)
    loading_s: float = 0.0

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return self.seqs.nbytes + self.words.nbytes

    def nearest(self, probe: Embedding, depth: CodeDepth) -> NDArray[np.int64]:
        """The places most promising for a probe, ascending; all of them if there are no more.

        First by the number of differing signs, then by the inner product of the probe itself with the signs, which
        keeps what the probe's own signs throw away and so needs fewer to hold the same mates.
        """
        code = np.packbits(probe > 0).view(np.uint64)
        total = len(self.seqs)
        distances = np.zeros(total, np.uint16)
        different, ones = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.uint8)
        for start in range(0, total, _BLOCK):
            block = distances[start : start + _BLOCK]
            size = len(block)
            for word in range(_WORDS):
                np.bitwise_xor(self.words[word, start : start + size], code[word], out=different[:size])
                np.bitwise_count(different[:size], out=ones[:size])
                np.add(block, ones[:size], out=block)
        within = np.cumsum(np.bincount(distances, minlength=EMBEDDING_SIZE + 1))
        furthest = int(np.searchsorted(within, min(depth.by_signs, total)))
        nearer, tied = np.flatnonzero(distances < furthest), np.flatnonzero(distances == furthest)
        found = np.sort(np.concatenate([nearer, tied[: 2 * depth.by_signs - len(nearer)]]))  # ties, but not without end
        if len(found) > depth.by_product:
            products = _products(self.words[:, found], probe)
            found = np.sort(found[np.argpartition(products, -depth.by_product)[-depth.by_product :]])
        nearest: NDArray[np.int64] = self.seqs[found]
        return nearest


_SIGNS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) * 2 - 1


def _products(words: NDArray[np.uint64], probe: Embedding) -> NDArray[np.float32]:
    """Inner products of the probe with codes (8, n) read as signs, by a table for each byte of a code."""
    table = probe.reshape(-1, 8) @ _SIGNS.T
    by_byte = np.ascontiguousarray(np.ascontiguousarray(words.T).view(np.uint8).T)
    products = np.zeros(by_byte.shape[1], np.float32)
    for byte, places in enumerate(by_byte):
        products += table[byte].take(places)
    return products


class CodeCache:
    """The codes of the galleries searched lately, within a budget; one per process, used from its loop only."""

    def __init__(self, pool: SearchPool, *, max_bytes: int) -> None:
        self._pool = pool  # of its own: filling the cache must not wait for searches, nor they for it
        self._max_bytes = max_bytes
        self._held: OrderedDict[UUID, CachedCodes] = OrderedDict()
        self._used_at: dict[UUID, float] = {}
        self._loading: dict[UUID, asyncio.Task[None]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def has_room_for(self, templates: int) -> bool:
        """Whether a gallery of this size may be held at all."""
        return templates * _BYTES_A_TEMPLATE <= self._max_bytes

    def look_up(self, tenant_id: UUID, facts: GalleryFacts) -> CachedCodes | None:
        """The gallery's codes, if they are here and of its epoch; what is missing or stale is loaded meanwhile."""
        if not self.has_room_for(facts.templates):
            self._drop(facts.id)
            return None
        held = self._held.get(facts.id)
        if held is None or _is_stale(held, facts):
            self._load(tenant_id, facts)
        if held is None or held.epoch != facts.epoch:
            return None
        self._held.move_to_end(facts.id)
        self._used_at[facts.id] = time.monotonic()
        return held

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
        self._held.clear()
        await self._pool.close()

    def _load(self, tenant_id: UUID, facts: GalleryFacts) -> None:
        if facts.id not in self._loading:
            task = asyncio.create_task(self._bring_up_to_date(tenant_id, facts.id))
            self._loading[facts.id] = task
            task.add_done_callback(lambda _: self._loading.pop(facts.id, None))

    async def _bring_up_to_date(self, tenant_id: UUID, gallery_id: UUID) -> None:
        started = time.monotonic()
        try:
            async with self._pool.snapshot(tenant_id) as connection:
                statements = GalleryStatements(connection, tenant_id)
                held = await _read(statements, gallery_id, self._held.get(gallery_id), started)
        except AppError as exc:  # searches go on without it, and the next one tries again
            _log.warning("codes_not_loaded", code=exc.code)
            return
        self._drop(gallery_id)
        if held is None:
            return
        self._held[gallery_id] = held
        self._used_at[gallery_id] = time.monotonic()
        while sum(other.size_bytes for other in self._held.values()) > self._max_bytes:
            self._drop(next(iter(self._held)))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Nobody's codes stay in memory longer than they are used."""
        for gallery_id, used_at in list(self._used_at.items()):
            if time.monotonic() - used_at > _IDLE_S:
                self._drop(gallery_id)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep) if self._held else None

    def _drop(self, gallery_id: UUID) -> None:
        self._held.pop(gallery_id, None)
        self._used_at.pop(gallery_id, None)


def _is_stale(held: CachedCodes, facts: GalleryFacts) -> bool:
    if held.epoch != facts.epoch or facts.last_seq - held.upto > max(256, min(len(held.seqs) // 200, _MOST_NEWER)):
        return True
    rested = time.monotonic() - held.loaded_at > _REST_AFTER_LOADING * held.loading_s
    return held.deletions != facts.deletions and rested


async def _read(
    statements: GalleryStatements, gallery_id: UUID, held: CachedCodes | None, started: float
) -> CachedCodes | None:
    """The codes as they are now: what came after `held`, or all if some went or changed; None if there are none."""
    version = await statements.read_version(gallery_id)
    if version is None:
        return None
    goes_on = held is not None and (held.epoch, held.deletions) == (version.epoch, version.deletions)
    copied = await statements.copy_codes(gallery_id, after=held.upto if held is not None and goes_on else 0)

    def parse() -> CachedCodes:
        seqs, words = _parse(copied)
        if held is not None and goes_on:
            seqs, words = np.concatenate([held.seqs, seqs]), np.concatenate([held.words, words], axis=1)
        loading_s = time.monotonic() - started
        return CachedCodes(version.epoch, version.deletions, version.last_seq, seqs, words, loading_s=loading_s)

    return await asyncio.to_thread(parse)


def _parse(copied: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    count = (len(copied) - _COPY_HEADER_BYTES) // _ROW.itemsize
    rows = np.frombuffer(copied, _ROW, count, _COPY_HEADER_BYTES)
    codes = np.ascontiguousarray(rows["code"]).view(np.uint64)
    return rows["seq"].astype(np.int64), np.ascontiguousarray(codes.T)
