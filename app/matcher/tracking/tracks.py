"""Join the tracklets of one person within a video: average linkage, and never two that overlap in time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.domain.videos import Interval

MAX_JOINED_GAP_MS = 3_000
"""Intervals of one person with a shorter break are one."""


@dataclass(frozen=True, slots=True)
class Strand:
    """What is known of a tracklet when a whole video is joined: its interval, and embeddings of unit length."""

    interval: Interval
    embeddings: Sequence[Embedding]
    is_reliable: bool


def join_strands(strands: Sequence[Strand], threshold: float) -> list[list[int]]:
    """Group strands by person; return the indexes of each group.

    The mean cosine of all pairs of two groups is the inner product of their means. The most similar pair of groups
    that do not overlap in time is joined, as long as it reaches the threshold. Strands that are not reliable stay
    alone.
    """
    groups = [[index] for index in range(len(strands))]
    sums = [np.sum(strand.embeddings, axis=0) for strand in strands]
    counts = [float(len(strand.embeddings)) for strand in strands]
    similar = _similarities(sums, counts)
    apart = _overlaps([strand.interval for strand in strands])
    unreliable = np.array([not strand.is_reliable for strand in strands], dtype=bool)
    similar[apart | unreliable[:, None] | unreliable[None, :]] = -np.inf
    while similar.size:
        row, column = divmod(int(np.argmax(similar)), similar.shape[1])
        if similar[row, column] < threshold:
            break
        groups[row] += groups[column]
        sums[row] = sums[row] + sums[column]
        counts[row] += counts[column]
        apart[row] |= apart[column]
        apart[:, row] = apart[row]
        means = np.stack([total / count for total, count in zip(sums, counts, strict=True)])
        similar[row] = np.where(apart[row] | np.isinf(similar[row]), -np.inf, means @ means[row])
        similar[:, row] = similar[row]
        similar[row, row] = -np.inf
        similar[column] = similar[:, column] = -np.inf
        groups[column] = []
    return [sorted(group) for group in groups if group]


def join_intervals(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return intervals in order; those with a break of less than three seconds become one."""
    joined: list[Interval] = []
    for one in sorted(intervals, key=lambda interval: interval.begin_ms):
        if joined and one.begin_ms - joined[-1].end_ms < MAX_JOINED_GAP_MS:
            joined[-1] = Interval(joined[-1].begin_ms, max(joined[-1].end_ms, one.end_ms))
        else:
            joined.append(one)
    return tuple(joined)


def _similarities(sums: Sequence[Embedding], counts: Sequence[float]) -> NDArray[np.float64]:
    if not sums:
        return np.empty((0, 0))
    means = np.stack([total / count for total, count in zip(sums, counts, strict=True)]).astype(np.float64)
    similar = means @ means.T
    np.fill_diagonal(similar, -np.inf)
    return similar


def _overlaps(intervals: Sequence[Interval]) -> NDArray[np.bool_]:
    """Return (n, n): whether two intervals share a moment. Frames are moments, so ends count."""
    begins = np.array([one.begin_ms for one in intervals], dtype=np.int64)
    ends = np.array([one.end_ms for one in intervals], dtype=np.int64)
    return (begins[:, None] <= ends[None, :]) & (begins[None, :] <= ends[:, None])
