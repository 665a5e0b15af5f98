"""The one score: cosine similarity of unit-length embeddings."""

import numpy as np

from app.domain import Embedding


def cosine_similarity(one: Embedding, other: Embedding) -> float:
    """Similarity in -1..1 of two (512,) unit vectors."""
    return clip_similarity(float(np.dot(one, other)))


def clip_similarity(value: float) -> float:
    """Bring a rounding error beyond -1 or 1 back into range."""
    return max(-1.0, min(1.0, value))
