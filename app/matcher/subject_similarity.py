"""A subject as one vector, the common embedding of its templates, and which faces are consistent with it."""

from collections.abc import Sequence

import numpy as np

from app.domain.faces import Embedding

MAX_COMMON_TEMPLATES = 20
"""How many of a subject's newest templates contribute to its common embedding."""

_MIN_WEIGHT = 0.05
_ROUNDING = 1e-4


def common_embedding(templates: Sequence[Embedding]) -> Embedding:
    """Return the weighted mean of (512,) unit vectors, normalized; needs at least one.

    A template's weight is its mean similarity to the others, at least 0.05. A photo of another person or a spoiled one
    therefore counts next to nothing, while a profile view still counts. Two templates always weigh the same, since
    neither can be called the outlier. The weights are one power iteration towards the principal direction.
    """
    stacked = np.stack(templates).astype(np.float32)
    count = len(stacked)
    if count == 1:
        return np.asarray(stacked[0])
    support = (stacked @ stacked.sum(axis=0) - 1) / (count - 1)
    mean = np.maximum(support, _MIN_WEIGHT) @ stacked
    length = float(np.linalg.norm(mean))
    if length < 1e-6:  # the templates cancel each other out
        return np.asarray(stacked[-1])
    return np.asarray(mean / length, dtype=np.float32)


def measure_consistency(
    existing: Sequence[Embedding], added: Sequence[Embedding], min_similarity: float
) -> list[float]:
    """Return the similarity of each face in `added` to the subject; those at `min_similarity` or above belong to it.

    Faces are compared with the common embedding of the existing templates. If there are none, the added face that the
    others support most starts the subject, and the most similar faces join one by one. Of five photos, a stranger's is
    found at any position; of two different faces, the first one is kept.
    """
    if existing:
        common = common_embedding(existing[-MAX_COMMON_TEMPLATES:])
        return [float(common @ face) for face in added]
    stacked = np.stack(added).astype(np.float32)
    similarities = np.zeros(len(added))
    support = stacked @ stacked.sum(axis=0)
    joined = [int(np.flatnonzero(support >= support.max() - _ROUNDING)[0])]
    similarities[joined[0]] = 1.0
    remaining = set(range(len(added))) - set(joined)
    while remaining:
        common = common_embedding([stacked[index] for index in joined])
        found = {index: float(common @ stacked[index]) for index in remaining}
        nearest = max(sorted(remaining), key=lambda index: found[index])
        if found[nearest] < min_similarity:
            for index in remaining:
                similarities[index] = found[index]
            break
        similarities[nearest] = found[nearest]
        joined.append(nearest)
        remaining.remove(nearest)
    return similarities.tolist()
