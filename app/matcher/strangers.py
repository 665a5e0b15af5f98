"""How similar strangers are to one another, counted over every pair of people: where a calibration comes from.

Source of the method: NIST FRTE 1:1, false-match rates from all comparisons of different people.
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
"""A rate counts as measured where so many pairs of people lie above its cosine: then it is known to about a third."""

COSINE_BINS = np.linspace(-1.0, 1.0, 20_001)
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class MeasuredStrangers:
    """What comparing people with one another showed; no points for too few people."""

    people: int
    points: tuple[tuple[float, float], ...]
    """(rate, cosine), the most frequent first."""
    intervals: tuple[tuple[float, float], ...]
    """Of each point's rate, 95%."""

    @property
    def pairs(self) -> int:
        """How many pairs of people were compared."""
        return self.people * (self.people - 1) // 2


def measure_strangers(embeddings: Sequence[Embedding], people: NDArray[np.int64]) -> MeasuredStrangers:
    """The cosines that strangers reach, and how well each rate is known; arguments as of `count_strangers`."""
    points = measure_points(count_strangers(embeddings, people))
    cosines = [cosine for _, cosine in points]
    return MeasuredStrangers(len(np.unique(people)), points, rate_intervals(embeddings, people, cosines))


def count_strangers(embeddings: Sequence[Embedding], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many pairs of different people have a cosine in each ten-thousandth of -1..1; (20000,).

    `embeddings`: n of (512,), unit length; `people`: (n,), whose each is, as numbers from 0. Two people count as one
    pair, however many photos there are of them, spread over all comparisons of their photos: so nobody counts for many,
    nor does a person who stands there twice.
    """
    counts = np.zeros(len(COSINE_BINS) - 1)
    columns, share = np.arange(len(embeddings)), _share_of_each(people)
    for rows, cosines in _compare_strangers(embeddings, people):
        strangers = (cosines >= -1) & (rows[:, None] < columns[None, :])
        weights = (share[rows][:, None] * share[None, :])[strangers]
        counts += np.histogram(cosines[strangers], COSINE_BINS, weights=weights)[0]
    return counts


def rate_intervals(
    embeddings: Sequence[Embedding], people: NDArray[np.int64], cosines: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """The 95% interval of the rate at which strangers reach each cosine; arguments as of `count_strangers`.

    By leaving out one person at a time (the jackknife, on the logarithm of the rate), since pairs that share a person
    are not independent of one another. It counts what single pairs add to the variance twice, which is taken off again.
    Source: Efron and Stein, The jackknife estimate of variance, 1981.
    """
    number, share = int(people.max()) + 1 if len(people) else 0, _share_of_each(people).astype(np.float32)
    reached = np.zeros((len(cosines), number))
    """By cosine and person: with how many others they do."""
    for rows, found in _compare_strangers(embeddings, people):
        for index, cosine in enumerate(cosines):
            each = share[rows] * ((found >= cosine).astype(np.float32) @ share)
            reached[index] += np.bincount(people[rows], weights=each, minlength=number)
    return tuple(_interval(own) for own in reached)


def _interval(reached: NDArray[np.float64]) -> tuple[float, float]:
    n, total = len(reached), float(reached.sum()) / 2
    rate = total / (n * (n - 1) / 2)
    without = (total - reached) / ((n - 1) * (n - 2) / 2)
    of_pairs = rate * (1 - rate) / (n * (n - 1) / 2)
    variance = (n - 1) / n * float(((without - without.mean()) ** 2).sum()) - of_pairs
    spread = math.exp(_NORMAL_95 * math.sqrt(max(variance, of_pairs)) / rate) if rate else math.inf
    return rate / spread, min(1.0, rate * spread)


def _share_of_each(people: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each photo counts: one over the photos of its person."""
    return np.asarray(1.0 / np.bincount(people)[people]) if len(people) else np.zeros(0)


def _compare_strangers(
    embeddings: Sequence[Embedding], people: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """As `compare_all`; -2 where both are of one person."""
    if not len(embeddings):
        return
    for rows, cosines in compare_all(np.stack(embeddings).astype(np.float32)):
        cosines[people[rows][:, None] == people[None, :]] = -2
        yield rows, cosines


def measure_points(counts: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """(rate, cosine) for every rate that so many pairs can tell, the most frequent first; empty for too few."""
    pairs = float(counts.sum())
    if pairs < MIN_PEOPLE * (MIN_PEOPLE - 1) / 2 - 1e-6:
        return ()
    at_or_above = np.cumsum(counts[::-1])[::-1]
    points: list[tuple[float, float]] = []
    for rate in RATES:
        if pairs * rate < MIN_PAIRS:
            break
        few = at_or_above <= pairs * rate
        if not few.any():  # more pairs than that are of one and the same face
            break
        cosine = round(float(COSINE_BINS[int(np.argmax(few))]), 4)
        if not points or cosine > points[-1][1]:
            points.append((rate, cosine))
    return tuple(points)
