"""Error rates from similarities, with confidence intervals. Pure functions on numpy arrays.

A missing similarity (no face found) is -inf, which no threshold accepts. People are numbers from 0. Intervals are
bootstrapped over people: `drawn` (people,) says how often a replicate drew each person.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import OperatorError

Similarities = NDArray[np.float64]
_REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """An error rate with its 95% bootstrap interval; `count` is the number of comparisons or searches behind it."""

    value: float
    low: float
    high: float
    count: int

    def as_json(self) -> dict[str, Any]:
        """Return the rate for a report; null in place of NaN."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        finite = {name: number if np.isfinite(number) else None for name, number in numbers.items()}
        return {**finite, "count": self.count}

    @property
    def complement(self) -> "Rate":
        """The rate of correct decisions."""
        return Rate(1 - self.value, 1 - self.high, 1 - self.low, self.count)


def threshold_at(impostors: Similarities, rate: float) -> float:
    """Return the lowest threshold that at most the share `rate` of the impostors reaches."""
    ordered = np.sort(impostors)[::-1]
    allowed = int(np.floor(rate * len(ordered)))
    if allowed >= len(ordered) or not np.isfinite(ordered[allowed]):
        return float(ordered[np.isfinite(ordered)].min()) if np.isfinite(ordered).any() else 0.0
    return float(np.nextafter(ordered[allowed], np.inf))


def weighted_threshold_at(similarities: Similarities, weights: NDArray[np.float64], total: float, rate: float) -> float:
    """Like `threshold_at`, for impostor pairs with weights out of a `total`; 1 without any.

    `similarities` are sorted, highest first.
    """
    if not len(similarities):
        return 1.0
    above = np.cumsum(weights)
    allowed = int(np.searchsorted(above, rate * total, side="right"))
    return float(np.nextafter(similarities[min(allowed, len(similarities) - 1)], np.inf))


def false_match_rate(impostors: Similarities, threshold: float) -> float:
    """Return the share of impostor pairs at or above the threshold (FMR)."""
    return float((impostors >= threshold).mean()) if len(impostors) else 0.0


def false_non_match_rate(genuine: Similarities, threshold: float) -> float:
    """Return the share of genuine pairs below the threshold (FNMR)."""
    return float((genuine < threshold).mean()) if len(genuine) else 0.0


def curve(genuine: Similarities, impostors: Similarities, points: int = 200) -> list[tuple[float, float, float]]:
    """Return (threshold, FMR, FNMR) over the range of the similarities, for a DET or ROC plot."""
    finite = np.concatenate([genuine[np.isfinite(genuine)], impostors[np.isfinite(impostors)]])
    thresholds = np.unique(np.quantile(finite, np.linspace(0, 1, points)))
    return [
        (float(threshold), false_match_rate(impostors, threshold), false_non_match_rate(genuine, threshold))
        for threshold in thresholds
    ]


def pair_weights(
    drawn: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how often each pair counts in a replicate: the product for two people, the count itself for one."""
    return np.where(first == second, drawn[first], drawn[first] * drawn[second])


def bootstrap(
    weighted: Callable[[NDArray[np.float64]], float], people: int, *, seed: int, replicates: int = _REPLICATES
) -> tuple[float, float]:
    """Return the 95% interval of a statistic over resampled people; `weighted` computes it from `drawn` (people,).

    Replicates in which it is NaN are left out.
    """
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(replicates):
        drawn = np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)
        value = weighted(drawn)
        if not np.isnan(value):
            values.append(value)
    if not values:
        return float("nan"), float("nan")
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def mean_of_pairs(
    values: NDArray[Any], first: NDArray[np.int64], second: NDArray[np.int64], people: int, *, seed: int
) -> Rate:
    """Return the mean of `values` (n,), one per comparison of two people (or of one), with its interval over people."""
    if not len(values):
        return Rate(float("nan"), float("nan"), float("nan"), 0)

    def weighted(drawn: NDArray[np.float64]) -> float:
        weights = pair_weights(drawn, first, second)
        total = weights.sum()
        return float((weights * values).sum() / total) if total else float("nan")

    low, high = bootstrap(weighted, people, seed=seed)
    return Rate(float(values.mean()), low, high, len(values))


def rate_of_pairs(
    wrong: NDArray[np.bool_], first: NDArray[np.int64], second: NDArray[np.int64], people: int, *, seed: int
) -> Rate:
    """Return the share of comparisons that were decided wrongly."""
    rate = mean_of_pairs(wrong, first, second, people, seed=seed)
    return widen_interval(rate, len(np.unique(np.concatenate([first, second]))))


def widen_interval(rate: Rate, people: int) -> Rate:
    """Widen the interval of a rate of 0 or 1, which a bootstrap cannot estimate: all replicates are the same.

    If n people showed no error, the rate is below 3 / n with 95% confidence (the rule of three).
    """
    bound = min(1.0, 3 / max(1, people))
    if rate.value == 0:
        return Rate(0.0, 0.0, max(rate.high, bound), rate.count)
    if rate.value == 1:
        return Rate(1.0, min(rate.low, 1 - bound), 1.0, rate.count)
    return rate


def rate_of_people(wrong: NDArray[np.bool_], person: NDArray[np.int64], people: int, *, seed: int) -> Rate:
    """Return the share of searches that went wrong; each searches one person."""
    return rate_of_pairs(wrong, person, person, people, seed=seed)


def fnmr_at_fmr(
    genuine: Similarities,
    impostors: Similarities,
    genuine_people: tuple[NDArray[np.int64], NDArray[np.int64]],
    impostor_people: tuple[NDArray[np.int64], NDArray[np.int64]],
    people: int,
    rate: float,
    *,
    seed: int,
) -> tuple[float, Rate]:
    """Return the threshold that the share `rate` of the impostors reaches, and the share of genuine pairs below it.

    Each bootstrap replicate finds its own threshold for the people drawn, so the interval includes the uncertainty of
    the threshold. The people of each pair are given as two arrays of numbers.
    """
    order = np.argsort(-impostors)
    descending, first, second = impostors[order], impostor_people[0][order], impostor_people[1][order]

    def weighted(drawn: NDArray[np.float64]) -> float:
        weights, genuine_weights = pair_weights(drawn, first, second), pair_weights(drawn, *genuine_people)
        total = float(genuine_weights.sum())
        if not total or not weights.sum():
            return float("nan")
        drawn_threshold = weighted_threshold_at(descending, weights, float(weights.sum()), rate)
        return float((genuine_weights * (genuine < drawn_threshold)).sum() / total)

    threshold = threshold_at(impostors, rate)
    low, high = bootstrap(weighted, people, seed=seed, replicates=_REPLICATES // 2)
    value = false_non_match_rate(genuine, threshold)
    return threshold, widen_interval(Rate(value, low, high, len(genuine)), len(np.unique(genuine_people[0])))


@dataclass(frozen=True, slots=True)
class FoldedAccuracy:
    """The share of pairs decided correctly, each fold with the best threshold of the other folds."""

    accuracy: Rate
    thresholds: list[float]


def folded_accuracy(
    similarities: Similarities,
    is_same: NDArray[np.bool_],
    fold: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    people: int,
    *,
    seed: int,
) -> FoldedAccuracy:
    """Return the accuracy by LFW's protocol; a pair with a missing face counts as wrong.

    Raises `OperatorError` like `decide_by_folds`.
    """
    correct, thresholds = decide_by_folds(similarities, is_same, fold)
    wrong = rate_of_pairs(~correct, first, second, people, seed=seed)
    return FoldedAccuracy(wrong.complement, thresholds)


def decide_by_folds(
    similarities: Similarities, is_same: NDArray[np.bool_], fold: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], list[float]]:
    """Return which pairs are decided correctly with the best threshold of the other folds, and these thresholds.

    Raises `OperatorError` for fewer than two folds, or if the other folds of any fold have no faces.
    """
    found = np.isfinite(similarities)
    numbers = np.unique(fold)
    if len(numbers) < 2 or not all(found[fold != number].any() for number in numbers):
        raise OperatorError("Accuracy needs pairs of at least two folds, and faces in some pairs of each.")
    correct = np.zeros(len(similarities), dtype=bool)
    thresholds = []
    for number in numbers:
        threshold = best_threshold(similarities[fold != number], is_same[fold != number])
        thresholds.append(threshold)
        inside = fold == number
        correct[inside] = (similarities[inside] >= threshold) == is_same[inside]
    return correct & np.isfinite(similarities), thresholds


def best_threshold(similarities: Similarities, is_same: NDArray[np.bool_]) -> float:
    """Return the threshold that decides the most pairs correctly; of several, the middle one."""
    found = np.isfinite(similarities)
    order = np.argsort(similarities[found])
    ordered, same = similarities[found][order], is_same[found][order]
    # A threshold below the i-th similarity is correct for the impostors before it and the genuine pairs from it on.
    # Between equal similarities there is no threshold.
    correct = np.concatenate([[0], np.cumsum(~same)]) + (same.sum() - np.concatenate([[0], np.cumsum(same)]))
    is_possible = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])
    best = np.flatnonzero(is_possible & (correct == correct[is_possible].max()))
    middle = int(best[len(best) // 2])
    if middle == 0:
        return float(ordered[0])
    if middle == len(ordered):
        return float(np.nextafter(ordered[-1], np.inf))
    return float((ordered[middle - 1] + ordered[middle]) / 2)


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Results of an open-set search: n mated searches and m searches of strangers.

    - `ranks`: (n,) the rank of the right person, from 1; 0 if not found.
    - `mate_similarities`: (n,) the right person's similarity, -inf if not found.
    - `stranger_similarities`: (m,) the highest similarity, -inf if nothing was found.
    """

    ranks: NDArray[np.int64]
    mate_similarities: Similarities
    stranger_similarities: Similarities

    def misses(self, threshold: float, rank: int = 1) -> NDArray[np.bool_]:
        """Return which mated searches miss the right person: not within the first `rank`, or below the threshold."""
        found = (self.ranks > 0) & (self.ranks <= rank) & (self.mate_similarities >= threshold)
        return np.asarray(~found)

    def cmc(self, max_rank: int = 20) -> list[float]:
        """Return the share of mated searches found within the first 1, 2, ..., `max_rank` ranks, at any similarity."""
        return [float(((self.ranks > 0) & (self.ranks <= rank)).mean()) for rank in range(1, max_rank + 1)]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The result of one selfie: whether each returned photo shows the person, best first, and how many photos do."""

    hits: Sequence[bool]
    relevant: int


RETRIEVAL_METRICS: dict[str, Callable[[Retrieval], float | None]] = {
    "precision": lambda search: _share(search.hits) if search.hits else None,
    "recall": lambda search: sum(search.hits) / search.relevant if search.relevant else None,
    "precision_at_10": lambda search: _share(search.hits[:10]) if search.hits else None,
    "precision_at_20": lambda search: _share(search.hits[:20]) if search.hits else None,
    "rank_1": lambda search: any(search.hits[:1]) if search.relevant else None,
    "rank_5": lambda search: any(search.hits[:5]) if search.relevant else None,
    "recall_at_20": lambda search: sum(search.hits[:20]) / search.relevant if search.relevant else None,
    "false_positives_at_10": lambda search: len(search.hits[:10]) - sum(search.hits[:10]),
    "false_positive_free_at_10": lambda search: all(search.hits[:10]),
    "false_positive_free": lambda search: all(search.hits),
    "empty_rate": lambda search: not search.hits,
}
"""The metrics of one search of an event. None leaves a search out of the mean: precision needs a returned photo, ranks
and recall need a photo to find."""


def retrieval_table(
    found: Sequence[Retrieval], person: NDArray[np.int64], people: int, *, seed: int
) -> dict[str, Rate]:
    """Return the mean of each metric over all searches, with intervals; `person` (n,) is the person in each selfie."""
    table = {}
    for name, metric in RETRIEVAL_METRICS.items():
        measured = [metric(search) for search in found]
        kept = np.array([value is not None for value in measured])
        values = np.array([float(value) for value in measured if value is not None])
        table[name] = mean_of_pairs(values, person[kept], person[kept], people, seed=seed)
    return table


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)
