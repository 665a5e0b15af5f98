"""A whole gallery in memory: 1.5 KB per template, compared with every probe of a search.

Embeddings rounded to 8 bits select the subjects that may be among the best; those are compared exactly.
A result is used only if the statement that reads the subjects' names confirms that the gallery has not changed since
it was cached (`gallery_version.py`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.matcher.found import Found
from app.matcher.gallery_version import GalleryVersion
from app.matcher.pgvector_search import COPY_HEADER_BYTES
from app.matcher.rounded_embeddings import RoundedEmbeddings, multiply_halves
from app.matcher.strategy import CodeDepth
from app.matcher.subject_similarity import MAX_COMMON_TEMPLATES

BYTES_PER_TEMPLATE = (2 + 1) * EMBEDDING_SIZE + 8 + 16 + 16 + 1
"""Memory for one template.

Its embedding in 16 and 8 bits, sequence number, subject id, two indices, and whether it is reliable.
"""

_ROUNDING = 1e-5
"""How far two products of equal embeddings may differ that add their terms in another order."""
_MAX_TIED = 1_000

# A row of `COPY ... (FORMAT binary)` as in cached_codes.py; the embedding in the format of pgvector's `halfvec_send`.
_ROW = np.dtype(
    [
        ("columns", ">i2"),
        ("seq_length", ">i4"),
        ("seq", ">i8"),
        ("subject_length", ">i4"),
        ("subject", "V16"),
        ("length", ">i4"),
        ("dimensions", ">i2"),
        ("unused", ">i2"),
        ("embedding", ">f2", EMBEDDING_SIZE),
        ("reliable_length", ">i4"),
        ("is_reliable", "u1"),
    ]
)


class SimilarSubjects(NamedTuple):
    """The subjects found for each probe, and the newest embeddings of each subject, (up to 20, 512).

    `reliable` says of each of these embeddings whether its face is of reliable quality.
    """

    found: list[list[Found[UUID]]]
    newest: dict[UUID, NDArray[np.float32]]
    reliable: dict[UUID, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class CachedGallery:
    """The n templates and k subjects of a gallery at one version, by ascending sequence number.

    - `seqs`: (n,) int64, the sequence numbers.
    - `subject_ids`: (n,) of 16 bytes, the subjects' ids.
    - `embeddings`: (n, 512) float16, as they are stored.
    - `rounded`: the same in 8 bits.
    - `are_reliable`: (n,) bool, whether each is of a face of reliable quality.
    - `rows`: (n,) indices of the templates grouped by subject, newest last within each subject.
    - `starts`: (k,) where each subject begins in `rows`.
    - `loaded_at`: on the monotonic clock.
    """

    version: GalleryVersion
    seqs: NDArray[np.int64]
    subject_ids: NDArray[np.void]
    embeddings: NDArray[np.float16]
    rounded: RoundedEmbeddings
    are_reliable: NDArray[np.bool_]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    loaded_at: float = field(default_factory=time.monotonic)
    loading_s: float = 0.0

    @classmethod
    def from_templates(
        cls,
        version: GalleryVersion,
        seqs: NDArray[np.int64],
        subject_ids: NDArray[np.void],
        embeddings: NDArray[np.float16],
        are_reliable: NDArray[np.bool_],
        loading_s: float = 0.0,
    ) -> Self:
        """Group templates, given by ascending sequence number, by subject."""
        _, first, subject = np.unique(subject_ids, return_index=True, return_inverse=True)
        rows = np.argsort(subject, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(subject, minlength=len(first)))[:-1]])
        grouped = (rows, starts.astype(np.int64))
        rounded = RoundedEmbeddings.of(embeddings)
        return cls(version, seqs, subject_ids, embeddings, rounded, are_reliable, *grouped, loading_s=loading_s)

    @property
    def epoch(self) -> int:
        return self.version.epoch

    @property
    def deletions(self) -> int:
        return self.version.deletions

    @property
    def through_seq(self) -> int:
        return self.version.last_seq

    @property
    def size_bytes(self) -> int:
        embeddings = (self.embeddings, self.rounded.values)
        arrays = (self.seqs, self.subject_ids, *embeddings, self.are_reliable, self.rows, self.starts)
        return sum(array.nbytes for array in arrays)

    def find_similar(self, probes: Sequence[Embedding], limit: int) -> SimilarSubjects | None:
        """Return the `limit` best subjects of each probe (512,) and all tied with the last; None if too many tie.

        Probes must be rounded to half precision, as templates are.
        """
        similar = SimilarSubjects([], {}, {})
        for probe in probes:
            products, max_error = self.rounded.multiply(probe)
            chosen = self._choose(products, max_error, limit)
            if len(chosen) > limit + _MAX_TIED:
                products, max_error = multiply_halves(self.embeddings, probe), _ROUNDING
                chosen = self._choose(products, max_error, limit)
            if len(chosen) > limit + _MAX_TIED:
                return None
            exact = partial(self._multiply_best, probe, products, max_error)
            similar.found.append(self._rank(chosen, exact, limit, similar))
        return similar

    def find_all_similar(self, probe: Embedding, min_similarity: float) -> dict[int, float]:
        """Return the similarities of all templates at or above a similarity with a probe (512,), by sequence number."""
        products, max_error = self.rounded.multiply(probe)
        rows = np.flatnonzero(products >= min_similarity - max_error)
        similarities = (self.embeddings[rows].astype(np.float32) * probe).sum(axis=1)
        reached = similarities >= min_similarity
        return dict(zip(self.seqs[rows[reached]].tolist(), similarities[reached].tolist(), strict=True))

    def _choose(self, products: NDArray[np.float32], max_error: float, limit: int) -> NDArray[np.int64]:
        """Return the indices of the subjects that may be among the best, if each product may be off by `max_error`."""
        by_subject = np.maximum.reduceat(products[self.rows], self.starts)
        return np.flatnonzero(by_subject >= _nth_best(by_subject, limit) - 2 * max_error)

    def nearest(self, probe: Embedding, depth: CodeDepth) -> NDArray[np.int64]:
        """Return the sequence numbers of the most similar templates, like `CachedCodes.nearest`."""
        if len(self.seqs) <= depth.by_product:
            return self.seqs
        products, _ = self.rounded.multiply(probe)
        nearest = np.argpartition(products, -depth.by_product)[-depth.by_product :]
        return np.sort(self.seqs[nearest])

    def _rank(
        self, chosen: NDArray[np.int64], multiply: "_MultiplyBest", limit: int, similar: SimilarSubjects
    ) -> list[Found[UUID]]:
        """Return the best of the chosen subjects, and add their newest embeddings to `similar`."""
        ends = np.append(self.starts[1:], len(self.rows))[chosen]
        counts = ends - self.starts[chosen]
        offsets = np.cumsum(counts) - counts
        rows = self.rows[np.repeat(self.starts[chosen] - offsets, counts) + np.arange(counts.sum())]
        products = multiply(rows, offsets, counts)
        similarities = np.maximum.reduceat(products, offsets)
        found = []
        for index in np.flatnonzero(similarities >= _nth_best(similarities, limit)).tolist():
            subject_rows = rows[offsets[index] : offsets[index] + counts[index]]
            subject_id = UUID(bytes=self.subject_ids[subject_rows[0]].tobytes())
            newest = subject_rows[-MAX_COMMON_TEMPLATES:]
            similar.newest[subject_id] = self.embeddings[newest].astype(np.float32)
            similar.reliable[subject_id] = self.are_reliable[newest]
            best = products[offsets[index] : offsets[index] + counts[index]]
            seq = self.seqs[subject_rows[np.flatnonzero(best == similarities[index])[-1]]]  # of equal ones the newest
            found.append(Found(subject_id, float(similarities[index]), int(seq)))
        return found

    def _multiply_best(
        self,
        probe: Embedding,
        rough: NDArray[np.float32],
        max_error: float,
        rows: NDArray[np.int64],
        offsets: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return the exact products of those rows that may be the best of their subject, -inf for the others.

        `rough` are the products of all templates, each off by at most `max_error`. Each product is summed alone and in
        one order, so equal embeddings get equal similarities.
        """
        near = rough[rows]
        may_be_best = near >= np.repeat(np.maximum.reduceat(near, offsets) - 2 * max_error, counts)
        products = np.full(len(rows), -np.inf, np.float32)
        products[may_be_best] = (self.embeddings[rows[may_be_best]].astype(np.float32) * probe).sum(axis=1)
        return products


_MultiplyBest = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


def _nth_best(values: NDArray[np.float32], n: int) -> float:
    return float(np.partition(values, -n)[-n]) if len(values) > n else float(values.min())


def parse_gallery(
    copied: bytes, version: GalleryVersion, previous: CachedGallery | None, started: float
) -> CachedGallery:
    """Parse the output of `GalleryStatements.copy_templates` and append it to the templates cached previously.

    `started` is when loading began, on the monotonic clock.
    """
    count = (len(copied) - COPY_HEADER_BYTES) // _ROW.itemsize
    rows = np.frombuffer(copied, _ROW, count, COPY_HEADER_BYTES)
    seqs, subject_ids = rows["seq"].astype(np.int64), np.ascontiguousarray(rows["subject"])
    embeddings, are_reliable = rows["embedding"].astype(np.float16), rows["is_reliable"] != 0
    if previous is not None:
        seqs, subject_ids = np.concatenate([previous.seqs, seqs]), np.concatenate([previous.subject_ids, subject_ids])
        embeddings = np.concatenate([previous.embeddings, embeddings])
        are_reliable = np.concatenate([previous.are_reliable, are_reliable])
    loading_s = time.monotonic() - started
    return CachedGallery.from_templates(version, seqs, subject_ids, embeddings, are_reliable, loading_s)
