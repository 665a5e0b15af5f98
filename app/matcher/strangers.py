"""How similar strangers are to one another, counted over every pair of people: where a calibration comes from.

Source of the method: NIST FRTE 1:1, false-match rates from all comparisons of different people.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain import Embedding

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
LEAST_PEOPLE = 50
LEAST_PAIRS = 10
"""A rate counts as measured where so many pairs of people lie above its cosine: then it is known to about a third."""

_BINS = np.linspace(-1.0, 1.0, 20_001)
_AT_A_TIME = 500


def count_strangers(embeddings: Sequence[Embedding], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many pairs of different people have a cosine in each ten-thousandth of -1..1; (20000,).

    `embeddings`: n of (512,), unit length; `people`: (n,), whose each is, as numbers from 0. Two people count as one
    pair, however many photos there are of them, spread over all comparisons of their photos: so nobody counts for many,
    nor does a person who stands there twice.
    """
    stacked = np.stack(embeddings).astype(np.float32)
    counts = np.zeros(len(_BINS) - 1)
    columns, share = np.arange(len(stacked)), 1.0 / np.bincount(people)[people]
    for start in range(0, len(stacked), _AT_A_TIME):
        rows = columns[start : start + _AT_A_TIME]
        cosines = np.clip(stacked[rows] @ stacked.T, -1, 1)
        strangers = (people[rows][:, None] != people[None, :]) & (rows[:, None] < columns[None, :])
        weights = (share[rows][:, None] * share[None, :])[strangers]
        counts += np.histogram(cosines[strangers], _BINS, weights=weights)[0]
    return counts


def measure_points(counts: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """(rate, cosine) for every rate that so many pairs can tell, the most frequent first; empty for too few."""
    pairs = float(counts.sum())
    if pairs < LEAST_PEOPLE * (LEAST_PEOPLE - 1) / 2 - 1e-6:
        return ()
    at_or_above = np.cumsum(counts[::-1])[::-1]
    points: list[tuple[float, float]] = []
    for rate in RATES:
        if pairs * rate < LEAST_PAIRS:
            break
        cosine = round(float(_BINS[int(np.argmax(at_or_above <= pairs * rate))]), 4)
        if not points or cosine > points[-1][1]:
            points.append((rate, cosine))
    return tuple(points)


def rate_above(counts: NDArray[np.float64], cosine: float) -> float:
    """The share of the pairs that reach a cosine."""
    return float(counts[_BINS[:-1] >= cosine].sum() / counts.sum())
