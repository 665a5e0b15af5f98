"""Measures how similar different people are, over all pairs of them: the source of a calibration.

Source of the method: NIST FRTE 1:1, false-match rates over all comparisons of different people. A pair of people
counts once, however many photos they have.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.matcher.similarity import compare_all

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
MIN_PEOPLE = 50
MIN_PAIRS = 10
"""A rate counts as measured if at least this many pairs reach its cosine; its relative error is then about a third."""

COSINE_BINS = np.linspace(-1.0, 1.0, 20_001)
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class ImpostorRates:
    """The measured false-match rates; without points if there were too few people."""

    people: int
    points: tuple[tuple[float, float], ...]
    """(rate, cosine) pairs, highest rate first."""
    intervals: tuple[tuple[float, float], ...]
    """95% confidence interval of each point's rate."""

    @property
    def pairs(self) -> int:
        """The number of compared pairs of people."""
        return self.people * (self.people - 1) // 2


def measure_impostors(embeddings: Sequence[Embedding], people: NDArray[np.int64]) -> ImpostorRates:
    """Measure the cosines that impostor pairs reach, with confidence intervals.

    `embeddings` are n unit vectors (512,); `people` (n,) numbers the person of each, from 0.
    """
    points = find_points(count_impostor_pairs(embeddings, people))
    cosines = [cosine for _, cosine in points]
    return ImpostorRates(len(np.unique(people)), points, rate_intervals(embeddings, people, cosines))


def count_impostor_pairs(embeddings: Sequence[Embedding], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the histogram (20000,) of the cosines of impostor pairs over `COSINE_BINS`.

    Arguments as in `measure_impostors`. Each pair of people has a weight of 1, divided among all comparisons of their
    photos. So people with many photos, or listed under two names, hardly change the result.
    """
    counts = np.zeros(len(COSINE_BINS) - 1)
    columns, weight = np.arange(len(embeddings)), _photo_weights(people)
    for rows, cosines in _compare_impostors(embeddings, people):
        impostors = (cosines >= -1) & (rows[:, None] < columns[None, :])
        weights = (weight[rows][:, None] * weight[None, :])[impostors]
        counts += np.histogram(cosines[impostors], COSINE_BINS, weights=weights)[0]
    return counts


def rate_intervals(
    embeddings: Sequence[Embedding], people: NDArray[np.int64], cosines: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """Return the 95% confidence interval of the rate at which impostor pairs reach each cosine.

    Arguments as in `measure_impostors`. Uses the jackknife over people, on the logarithm of the rate, since pairs that
    share a person are not independent. The jackknife counts the variance of single pairs twice, so it is subtracted
    once. Source: Efron and Stein, The jackknife estimate of variance, 1981.
    """
    number = int(people.max()) + 1 if len(people) else 0
    weight = _photo_weights(people).astype(np.float32)
    reached = np.zeros((len(cosines), number))
    """By cosine and person: how many other people reach the cosine with this person."""
    for rows, found in _compare_impostors(embeddings, people):
        for index, cosine in enumerate(cosines):
            by_row = weight[rows] * ((found >= cosine).astype(np.float32) @ weight)
            reached[index] += np.bincount(people[rows], weights=by_row, minlength=number)
    return tuple(_interval(by_person) for by_person in reached)


def _interval(reached: NDArray[np.float64]) -> tuple[float, float]:
    n, total = len(reached), float(reached.sum()) / 2
    rate = total / (n * (n - 1) / 2)
    without = (total - reached) / ((n - 1) * (n - 2) / 2)  # the rate without each person
    pair_variance = rate * (1 - rate) / (n * (n - 1) / 2)
    variance = (n - 1) / n * float(((without - without.mean()) ** 2).sum()) - pair_variance
    spread = math.exp(_NORMAL_95 * math.sqrt(max(variance, pair_variance)) / rate) if rate else math.inf
    return rate / spread, min(1.0, rate * spread)


def _photo_weights(people: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weight of each photo: one divided by the number of photos of its person."""
    return np.asarray(1.0 / np.bincount(people)[people]) if len(people) else np.zeros(0)


def _compare_impostors(
    embeddings: Sequence[Embedding], people: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Like `compare_all`, with -2 in place of the cosine of two photos of one person."""
    if not len(embeddings):
        return
    for rows, cosines in compare_all(np.stack(embeddings).astype(np.float32)):
        cosines[people[rows][:, None] == people[None, :]] = -2
        yield rows, cosines


def find_points(counts: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """Return (rate, cosine) for each of `RATES` that the histogram of `count_impostor_pairs` supports, highest first.

    Empty for fewer than `MIN_PEOPLE` people.
    """
    pairs = float(counts.sum())
    if pairs < MIN_PEOPLE * (MIN_PEOPLE - 1) / 2 - 1e-6:
        return ()
    at_or_above = np.cumsum(counts[::-1])[::-1]
    points: list[tuple[float, float]] = []
    for rate in RATES:
        if pairs * rate < MIN_PAIRS:
            break
        is_reached = at_or_above <= pairs * rate
        if not is_reached.any():  # more pairs than that have identical faces
            break
        cosine = round(float(COSINE_BINS[int(np.argmax(is_reached))]), 4)
        if not points or cosine > points[-1][1]:
            points.append((rate, cosine))
    return tuple(points)
