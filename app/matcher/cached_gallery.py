"""One gallery in memory as a whole: 2 KB a template, compared with every probe of a search in one product.

What is found here counts only while the database says, in the statement that names the subjects, that the gallery has
not changed since (`GalleryVersion`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.matcher.found import Found
from app.matcher.gallery_version import GalleryVersion
from app.matcher.pgvector_search import COPY_HEADER_BYTES
from app.matcher.strategy import CodeDepth
from app.matcher.subject_similarity import MAX_COMMON_TEMPLATES

BYTES_A_TEMPLATE = 4 * EMBEDDING_SIZE + 8 + 16 + 16
"""Memory for one template."""

_ROUNDING = 1e-5  # of a product's terms added in another order
_MAX_TIED = 1_000

# A row of `COPY ... (FORMAT binary)`, as in cached_codes.py; the embedding as pgvector's `halfvec_send` writes it.
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
    ]
)


class Resembling(NamedTuple):
    """For each probe the subjects found, and of each subject the newest templates (up to 20, 512)."""

    found: list[list[Found[UUID]]]
    newest: dict[UUID, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CachedGallery:
    """A gallery's templates at one version, in the order of their places.

    `seqs` is (n,) int64, `owners` (n,) of 16 bytes each: the subjects' ids; `embeddings` (n, 512) float32, rounded to
    half precision as they are stored. `rows` are the places of the templates grouped by subject, the newest last,
    `starts` where each of the k subjects begins in `rows`.
    """

    version: GalleryVersion
    seqs: NDArray[np.int64]
    owners: NDArray[np.void]
    embeddings: NDArray[np.float32]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    loaded_at: float = field(default_factory=time.monotonic)
    loading_s: float = 0.0

    @classmethod
    def of(
        cls,
        version: GalleryVersion,
        seqs: NDArray[np.int64],
        owners: NDArray[np.void],
        embeddings: NDArray[np.float32],
        loading_s: float = 0.0,
    ) -> Self:
        """The templates of a gallery at one version, given by ascending place."""
        _, first, subject = np.unique(owners, return_index=True, return_inverse=True)
        rows = np.argsort(subject, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(subject, minlength=len(first)))[:-1]])
        return cls(version, seqs, owners, embeddings, rows, starts.astype(np.int64), loading_s=loading_s)

    @property
    def epoch(self) -> int:
        """Changes whenever an embedding does."""
        return self.version.epoch

    @property
    def deletions(self) -> int:
        """How many templates were erased before."""
        return self.version.deletions

    @property
    def upto(self) -> int:
        """The place of the newest template."""
        return self.version.last_seq

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        held = (self.seqs, self.owners, self.embeddings, self.rows, self.starts)
        return sum(array.nbytes for array in held)

    def best(self, probes: Sequence[Embedding], limit: int) -> Resembling | None:
        """For each probe its `limit` best subjects and all that tie with the last; None with ties without end.

        Probes are rounded to half precision, as templates are.
        """
        asked = np.stack(probes)
        products = np.ascontiguousarray((self.embeddings @ asked.T).T)
        best = Resembling([], {})
        for index, probe in enumerate(asked):
            by_subject = np.maximum.reduceat(products[index][self.rows], self.starts)
            chosen = np.flatnonzero(by_subject >= _nth_best(by_subject, limit) - _ROUNDING)
            if len(chosen) > limit + _MAX_TIED:
                return None
            best.found.append(self._rank(chosen, probe, limit, best.newest))
        return best

    def nearest(self, probe: Embedding, depth: CodeDepth) -> NDArray[np.int64]:
        """As `CachedCodes.nearest`: the places worth comparing, here those of the most similar."""
        if len(self.seqs) <= depth.by_product:
            return self.seqs
        nearest = np.argpartition(self.embeddings @ probe, -depth.by_product)[-depth.by_product :]
        return np.sort(self.seqs[nearest])

    def _rank(
        self, chosen: NDArray[np.int64], probe: Embedding, limit: int, newest: dict[UUID, NDArray[np.float32]]
    ) -> list[Found[UUID]]:
        """The best of the subjects: each product added up alone, so that equal embeddings are equally similar."""
        ends = np.append(self.starts[1:], len(self.rows))[chosen]
        counts = ends - self.starts[chosen]
        begins = np.cumsum(counts) - counts
        rows = self.rows[np.repeat(self.starts[chosen] - begins, counts) + np.arange(counts.sum())]
        similarities = np.maximum.reduceat((self.embeddings[rows] * probe).sum(axis=1), begins)
        found = []
        for one in np.flatnonzero(similarities >= _nth_best(similarities, limit)).tolist():
            own = rows[begins[one] : begins[one] + counts[one]]
            subject_id = UUID(bytes=self.owners[own[0]].tobytes())
            newest[subject_id] = self.embeddings[own[-MAX_COMMON_TEMPLATES:]]
            found.append(Found(subject_id, float(similarities[one])))
        return found


def _nth_best(values: NDArray[np.float32], n: int) -> float:
    return float(np.partition(values, -n)[-n]) if len(values) > n else float(values.min())


def parse_gallery(
    copied: bytes, version: GalleryVersion, before: CachedGallery | None, started: float
) -> CachedGallery:
    """What `GalleryStatements.copy_templates` gave, behind what was held before; `started` on the monotonic clock."""
    count = (len(copied) - COPY_HEADER_BYTES) // _ROW.itemsize
    rows = np.frombuffer(copied, _ROW, count, COPY_HEADER_BYTES)
    seqs, owners = rows["seq"].astype(np.int64), np.ascontiguousarray(rows["subject"])
    embeddings = rows["embedding"].astype(np.float32)
    if before is not None:
        seqs, owners = np.concatenate([before.seqs, seqs]), np.concatenate([before.owners, owners])
        embeddings = np.concatenate([before.embeddings, embeddings])
    return CachedGallery.of(version, seqs, owners, embeddings, loading_s=time.monotonic() - started)
