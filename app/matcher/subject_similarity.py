"""A subject as one vector: what its templates have in common."""

from collections.abc import Sequence

import numpy as np

from app.domain import Embedding

MOST_TEMPLATES = 20
"""So many of a subject's newest templates say what they have in common."""

_LEAST_WEIGHT = 0.05


def common_embedding(templates: Sequence[Embedding]) -> Embedding:
    """The weighted mean of (512,) unit vectors, of unit length; at least one.

    Each template weighs as much as it resembles the others on average (never less than 0.05), so that of several photos
    one of somebody else, or a spoilt one, counts next to nothing, while a photo from the side still counts. Of two that
    disagree nobody can say which is wrong: they weigh the same. The weights are one step of the power iteration towards
    the principal direction of the templates.
    """
    stacked = np.stack(templates).astype(np.float32)
    count = len(stacked)
    if count == 1:
        return np.asarray(stacked[0])
    support = (stacked @ stacked.sum(axis=0) - 1) / (count - 1)
    mean = np.maximum(support, _LEAST_WEIGHT) @ stacked
    length = float(np.linalg.norm(mean))
    if length < 1e-6:  # templates that cancel out have nothing in common
        return np.asarray(stacked[-1])
    return np.asarray(mean / length, dtype=np.float32)
