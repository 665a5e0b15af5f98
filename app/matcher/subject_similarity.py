"""A subject as one vector: what its templates have in common."""

from collections.abc import Sequence

import numpy as np

from app.domain.faces import Embedding

MAX_COMMON_TEMPLATES = 20
"""So many of a subject's newest templates say what they have in common."""

_MIN_WEIGHT = 0.05
_ROUNDING = 1e-4


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
    mean = np.maximum(support, _MIN_WEIGHT) @ stacked
    length = float(np.linalg.norm(mean))
    if length < 1e-6:  # templates that cancel out have nothing in common
        return np.asarray(stacked[-1])
    return np.asarray(mean / length, dtype=np.float32)


def take_consistent(existing: Sequence[Embedding], given: Sequence[Embedding], min_similarity: float) -> list[float]:
    """How similar each of `given` is with the subject it is to join; those at `min_similarity` or more belong to it.

    Compared is with what the existing templates have in common. Where there are none yet, the one of `given` that the
    others support most stands for the subject, and those most similar join one after the other: of five photos a
    stranger's is found out wherever it stands, of two that disagree the first is believed.
    """
    if existing:
        whole = common_embedding(existing[-MAX_COMMON_TEMPLATES:])
        return [float(whole @ one) for one in given]
    stacked = np.stack(given).astype(np.float32)
    similarities = np.zeros(len(given))
    support = stacked @ stacked.sum(axis=0)
    joined = [int(np.flatnonzero(support >= support.max() - _ROUNDING)[0])]
    similarities[joined[0]] = 1.0
    waiting = set(range(len(given))) - set(joined)
    while waiting:
        whole = common_embedding([stacked[index] for index in joined])
        found = {index: float(whole @ stacked[index]) for index in waiting}
        nearest = max(sorted(waiting), key=lambda index: found[index])
        if found[nearest] < min_similarity:
            for index in waiting:
                similarities[index] = found[index]
            break
        similarities[nearest] = found[nearest]
        joined.append(nearest)
        waiting.remove(nearest)
    return similarities.tolist()
