"""The codes of one gallery in memory: 72 bytes a template, compared many times faster than in SQL."""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.matcher.gallery_version import GalleryVersion
from app.matcher.pgvector_search import COPY_HEADER_BYTES
from app.matcher.strategy import CodeDepth

_WORDS = EMBEDDING_SIZE // 64
_BLOCK = 65_536  # codes compared at a time: a block's intermediate results stay in the processor's cache

BYTES_A_CODE = 8 * _WORDS + 8
"""Memory for one template."""

# A row of `COPY ... (FORMAT binary)`: number of columns, then each with its length before it (PostgreSQL, COPY).
_ROW = np.dtype(
    [("columns", ">i2"), ("length", ">i4"), ("seq", ">i8"), ("code_length", ">i4"), ("bits", ">i4"), ("code", "u1", 64)]
)


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


def parse_codes(copied: bytes, version: GalleryVersion, before: CachedCodes | None, started: float) -> CachedCodes:
    """What `GalleryStatements.copy_codes` gave, behind what was held before; `started` on the monotonic clock."""
    count = (len(copied) - COPY_HEADER_BYTES) // _ROW.itemsize
    rows = np.frombuffer(copied, _ROW, count, COPY_HEADER_BYTES)
    seqs = rows["seq"].astype(np.int64)
    words = np.ascontiguousarray(np.ascontiguousarray(rows["code"]).view(np.uint64).T)
    if before is not None:
        seqs, words = np.concatenate([before.seqs, seqs]), np.concatenate([before.words, words], axis=1)
    loading_s = time.monotonic() - started
    return CachedCodes(version.epoch, version.deletions, version.last_seq, seqs, words, loading_s=loading_s)
