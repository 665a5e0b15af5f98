"""The codes of one gallery in memory: 72 bytes per template, compared much faster than in SQL."""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.matcher.gallery_version import GalleryVersion
from app.matcher.pgvector_search import COPY_HEADER_BYTES
from app.matcher.strategy import CodeDepth

_WORDS = EMBEDDING_SIZE // 64
_BLOCK = 65_536  # codes compared at a time; the intermediate results of a block fit the processor's cache

BYTES_PER_CODE = 8 * _WORDS + 8
"""Memory for one template: its code and its sequence number."""

# A row of `COPY ... (FORMAT binary)`: the number of columns, then the length and value of each (PostgreSQL, COPY).
_ROW = np.dtype(
    [("columns", ">i2"), ("length", ">i4"), ("seq", ">i8"), ("code_length", ">i4"), ("bits", ">i4"), ("code", "u1", 64)]
)

_SIGNS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) * 2 - 1
"""The eight signs (-1 or 1) of each byte of a code, (256, 8)."""


@dataclass(frozen=True, slots=True)
class CachedCodes:
    """The codes of a gallery's templates up to the sequence number `through_seq`.

    `seqs` is (n,) int64, ascending. `words` is (8, n) uint64, one row per 64 bits of the codes, so that a comparison
    reads memory sequentially. `loaded_at` is on the monotonic clock.
    """

    epoch: int
    deletions: int
    through_seq: int
    seqs: NDArray[np.int64]
    words: NDArray[np.uint64]
    loaded_at: float = field(default_factory=time.monotonic)
    loading_s: float = 0.0

    @property
    def size_bytes(self) -> int:
        return self.seqs.nbytes + self.words.nbytes

    def nearest(self, probe: Embedding, depth: CodeDepth) -> NDArray[np.int64]:
        """Return the sequence numbers of the templates most likely to be similar to a probe (512,), ascending.

        First by the number of differing signs, then by the inner product of the probe with the signs. The second step
        uses the magnitudes that the probe's own code discards, so fewer templates contain the same mates.
        """
        found = self._nearest_by_signs(probe, min(depth.by_signs, len(self.seqs)), max_found=2 * depth.by_signs)
        if len(found) > depth.by_product:
            products = _products(self.words[:, found], probe)
            found = np.sort(found[np.argpartition(products, -depth.by_product)[-depth.by_product :]])
        nearest: NDArray[np.int64] = self.seqs[found]
        return nearest

    def _nearest_by_signs(self, probe: Embedding, count: int, *, max_found: int) -> NDArray[np.int64]:
        """Return the indices of the `count` codes with the fewest differing signs and of ties, at most `max_found`."""
        distances = self._count_differing_signs(probe)
        cumulative = np.cumsum(np.bincount(distances, minlength=EMBEDDING_SIZE + 1))
        max_distance = int(np.searchsorted(cumulative, count))
        nearer, tied = np.flatnonzero(distances < max_distance), np.flatnonzero(distances == max_distance)
        return np.sort(np.concatenate([nearer, tied[: max_found - len(nearer)]]))

    def _count_differing_signs(self, probe: Embedding) -> NDArray[np.uint16]:
        """Return the Hamming distance of each code, (n,), to the probe's."""
        code = np.packbits(probe > 0).view(np.uint64)
        distances = np.zeros(len(self.seqs), np.uint16)
        different, ones = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.uint8)
        for start in range(0, len(distances), _BLOCK):
            block = distances[start : start + _BLOCK]
            size = len(block)
            for word in range(_WORDS):
                np.bitwise_xor(self.words[word, start : start + size], code[word], out=different[:size])
                np.bitwise_count(different[:size], out=ones[:size])
                np.add(block, ones[:size], out=block)
        return distances


def _products(words: NDArray[np.uint64], probe: Embedding) -> NDArray[np.float32]:
    """Return the inner products of the probe with the signs of codes (8, n), by one lookup table per byte of a code."""
    table = probe.reshape(-1, 8) @ _SIGNS.T
    by_byte = np.ascontiguousarray(np.ascontiguousarray(words.T).view(np.uint8).T)
    products = np.zeros(by_byte.shape[1], np.float32)
    for byte, values in enumerate(by_byte):
        products += table[byte].take(values)
    return products


def parse_codes(copied: bytes, version: GalleryVersion, previous: CachedCodes | None, started: float) -> CachedCodes:
    """Parse the output of `GalleryStatements.copy_codes` and append it to the codes cached previously.

    `started` is when loading began, on the monotonic clock.
    """
    count = (len(copied) - COPY_HEADER_BYTES) // _ROW.itemsize
    rows = np.frombuffer(copied, _ROW, count, COPY_HEADER_BYTES)
    seqs = rows["seq"].astype(np.int64)
    words = np.ascontiguousarray(np.ascontiguousarray(rows["code"]).view(np.uint64).T)
    if previous is not None:
        seqs, words = np.concatenate([previous.seqs, seqs]), np.concatenate([previous.words, words], axis=1)
    loading_s = time.monotonic() - started
    return CachedCodes(version.epoch, version.deletions, version.last_seq, seqs, words, loading_s=loading_s)
