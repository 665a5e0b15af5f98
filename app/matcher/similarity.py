"""The only score: the cosine similarity of unit-length embeddings."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding

_ROWS_PER_BLOCK = 500


def cosine_similarity(first: Embedding, second: Embedding) -> float:
    """Return the similarity, -1..1, of two (512,) unit vectors."""
    return clip_similarity(float(np.dot(first, second)))


def clip_similarity(value: float) -> float:
    """Clip to -1..1; rounding can exceed the range slightly."""
    return max(-1.0, min(1.0, value))


def compare_all(stacked: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Compare n unit vectors (n, 512) with one another, in blocks; yield row indices (rows,) and cosines (rows, n)."""
    for start in range(0, len(stacked), _ROWS_PER_BLOCK):
        rows = np.arange(start, min(start + _ROWS_PER_BLOCK, len(stacked)))
        yield rows, np.clip(stacked[rows] @ stacked.T, -1, 1)
