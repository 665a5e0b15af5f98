"""The one score: cosine similarity of unit-length embeddings."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding

_ROWS_AT_A_TIME = 500


def cosine_similarity(one: Embedding, other: Embedding) -> float:
    """Similarity in -1..1 of two (512,) unit vectors."""
    return clip_similarity(float(np.dot(one, other)))


def clip_similarity(value: float) -> float:
    """Bring a rounding error beyond -1 or 1 back into range."""
    return max(-1.0, min(1.0, value))


def compare_all(stacked: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Each of n embeddings, (n, 512), with all, some rows after the other: which rows, and their cosines, (rows, n)."""
    for start in range(0, len(stacked), _ROWS_AT_A_TIME):
        rows = np.arange(start, min(start + _ROWS_AT_A_TIME, len(stacked)))
        yield rows, np.clip(stacked[rows] @ stacked.T, -1, 1)
