"""Error rates from similarities, and how far they may be off. Pure functions on numpy arrays.

A missing similarity (no face found) is -inf: it matches nobody.
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
    """An error rate with the middle 95% of its bootstrap replicates, and what it was counted on."""

    value: float
    low: float
    high: float
    count: int

    def as_json(self) -> dict[str, Any]:
        """For a report; null for what nothing was counted on."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        known = {name: number if np.isfinite(number) else None for name, number in named.items()}
        return {**known, "count": self.count}

    @property
    def complement(self) -> "Rate":
        """The share of those that did not go wrong."""
        return Rate(1 - self.value, 1 - self.high, 1 - self.low, self.count)


def threshold_at(impostors: Similarities, rate: float) -> float:
    """The least similarity that no more than `rate` of these reach."""
    ordered = np.sort(impostors)[::-1]
    allowed = int(np.floor(rate * len(ordered)))
    if allowed >= len(ordered) or not np.isfinite(ordered[allowed]):
        return float(ordered[np.isfinite(ordered)].min()) if np.isfinite(ordered).any() else 0.0
    return float(np.nextafter(ordered[allowed], np.inf))


def weighted_threshold_at(similarities: Similarities, weights: NDArray[np.float64], total: float, rate: float) -> float:
    """The same where each impostor counts by its weight, of so much in all; `similarities` fall. 1 without any."""
    if not len(similarities):
        return 1.0
    above = np.cumsum(weights)
    allowed = int(np.searchsorted(above, rate * total, side="right"))
    return float(np.nextafter(similarities[min(allowed, len(similarities) - 1)], np.inf))


def false_match_rate(impostors: Similarities, threshold: float) -> float:
    """The share of impostor comparisons at or above the threshold (FMR)."""
    return float((impostors >= threshold).mean()) if len(impostors) else 0.0


def false_non_match_rate(genuine: Similarities, threshold: float) -> float:
    """The share of genuine comparisons below the threshold (FNMR)."""
    return float((genuine < threshold).mean()) if len(genuine) else 0.0


def curve(genuine: Similarities, impostors: Similarities, points: int = 200) -> list[tuple[float, float, float]]:
    """(threshold, FMR, FNMR) over the range of thresholds that decide anything, for a DET or ROC plot."""
    finite = np.concatenate([genuine[np.isfinite(genuine)], impostors[np.isfinite(impostors)]])
    thresholds = np.unique(np.quantile(finite, np.linspace(0, 1, points)))
    return [(float(one), false_match_rate(impostors, one), false_non_match_rate(genuine, one)) for one in thresholds]


def pair_weights(
    drawn: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How often each pair of two people (or of one, by number) counts where people were drawn so often."""
    return np.where(first == second, drawn[first], drawn[first] * drawn[second])


def bootstrap(
    weighted: Callable[[NDArray[np.float64]], float], people: int, *, seed: int, replicates: int = _REPLICATES
) -> tuple[float, float]:
    """The middle 95% of a statistic over people drawn anew; `weighted` takes how often each was drawn, (people,)."""
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
    """The mean of something that comparisons have; each is of two people (or one), by number: a pair counts as often as
    both were drawn."""
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
    """The share of comparisons that went wrong."""
    rate = mean_of_pairs(wrong, first, second, people, seed=seed)
    return widened(rate, len(np.unique(np.concatenate([first, second]))))


def widened(rate: Rate, people: int) -> Rate:
    """An interval that admits what none of so many people showed: where nothing, or everything, went wrong no bootstrap
    can tell. 3 / n is the 95% bound of a rate that n trials did not show."""
    unseen = min(1.0, 3 / max(1, people))
    if rate.value == 0:
        return Rate(0.0, 0.0, max(rate.high, unseen), rate.count)
    if rate.value == 1:
        return Rate(1.0, min(rate.low, 1 - unseen), 1.0, rate.count)
    return rate


def rate_of_people(wrong: NDArray[np.bool_], person: NDArray[np.int64], people: int, *, seed: int) -> Rate:
    """The share of searches that went wrong, each of one person."""
    return rate_of_pairs(wrong, person, person, people, seed=seed)


def missed_at(
    genuine: Similarities,
    impostors: Similarities,
    genuine_people: tuple[NDArray[np.int64], NDArray[np.int64]],
    impostor_people: tuple[NDArray[np.int64], NDArray[np.int64]],
    people: int,
    rate: float,
    *,
    seed: int,
) -> tuple[float, Rate]:
    """The threshold that lets this share of impostors through, and the share of genuine ones below it.

    Both are found anew for the people of each replicate: a threshold is as uncertain as what it was found on.
    """
    order = np.argsort(-impostors)
    falling, first, second = impostors[order], impostor_people[0][order], impostor_people[1][order]

    def weighted(drawn: NDArray[np.float64]) -> float:
        weights, own = pair_weights(drawn, first, second), pair_weights(drawn, *genuine_people)
        total = float(own.sum())
        if not total or not weights.sum():
            return float("nan")
        at = weighted_threshold_at(falling, weights, float(weights.sum()), rate)
        return float((own * (genuine < at)).sum() / total)

    threshold = threshold_at(impostors, rate)
    low, high = bootstrap(weighted, people, seed=seed, replicates=_REPLICATES // 2)
    value = false_non_match_rate(genuine, threshold)
    return threshold, widened(Rate(value, low, high, len(genuine)), len(np.unique(genuine_people[0])))


@dataclass(frozen=True, slots=True)
class FoldedAccuracy:
    """The share of pairs decided rightly with the threshold that was best on the other folds."""

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
    """LFW's protocol; a pair with a missing face counts as wrong, whatever it is of. Raises `OperatorError`."""
    right, thresholds = decide_by_folds(similarities, is_same, fold)
    wrong = rate_of_pairs(~right, first, second, people, seed=seed)
    return FoldedAccuracy(wrong.complement, thresholds)


def decide_by_folds(
    similarities: Similarities, is_same: NDArray[np.bool_], fold: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], list[float]]:
    """Which pairs are decided rightly with the best threshold of the other folds, and these; see `folded_accuracy`."""
    found = np.isfinite(similarities)
    if len(np.unique(fold)) < 2 or not all(found[fold != one].any() for one in np.unique(fold)):
        raise OperatorError("Accuracy needs pairs of at least two folds, and faces in some pairs of each.")
    right = np.zeros(len(similarities), dtype=bool)
    thresholds = []
    for one in np.unique(fold):
        threshold = best_threshold(similarities[fold != one], is_same[fold != one])
        thresholds.append(threshold)
        inside = fold == one
        right[inside] = (similarities[inside] >= threshold) == is_same[inside]
    return right & np.isfinite(similarities), thresholds


def best_threshold(similarities: Similarities, is_same: NDArray[np.bool_]) -> float:
    """The threshold that decides most pairs rightly; of several in a row, the middle one."""
    found = np.isfinite(similarities)
    order = np.argsort(similarities[found])
    ordered, same = similarities[found][order], is_same[found][order]
    # Right with the threshold just above the i-th: impostors up to it, genuine beyond it; never between equals.
    right = np.concatenate([[0], np.cumsum(~same)]) + (same.sum() - np.concatenate([[0], np.cumsum(same)]))
    parts = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])
    best = np.flatnonzero(parts & (right == right[parts].max()))
    middle = int(best[len(best) // 2])
    if middle == 0:
        return float(ordered[0])
    if middle == len(ordered):
        return float(np.nextafter(ordered[-1], np.inf))
    return float((ordered[middle - 1] + ordered[middle]) / 2)


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Searches of a gallery: of people who are in it (`ranks` from 1, 0 for not found; the mate's similarity), and the
    highest similarity of people who are not."""

    ranks: NDArray[np.int64]
    mate_similarities: Similarities
    stranger_similarities: Similarities

    def misses(self, threshold: float, rank: int = 1) -> NDArray[np.bool_]:
        """Which of the searches of people in the gallery do not find them within the first `rank`, at or above the
        threshold."""
        found = (self.ranks > 0) & (self.ranks <= rank) & (self.mate_similarities >= threshold)
        return np.asarray(~found)

    def cmc(self, most: int = 20) -> list[float]:
        """The share found within the first 1, 2, ... ranks, without a threshold."""
        return [float(((self.ranks > 0) & (self.ranks <= rank)).mean()) for rank in range(1, most + 1)]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What one selfie found: which of the photos returned show the person, in their order, and how many do in all."""

    hits: Sequence[bool]
    relevant: int


RETRIEVAL_FIGURES: dict[str, Callable[[Retrieval], float | None]] = {
    "precision_at_10": lambda one: _share(one.hits[:10]) if one.hits else None,
    "precision_at_20": lambda one: _share(one.hits[:20]) if one.hits else None,
    "rank_1": lambda one: any(one.hits[:1]) if one.relevant else None,
    "rank_5": lambda one: any(one.hits[:5]) if one.relevant else None,
    "recall_at_20": lambda one: sum(one.hits[:20]) / one.relevant if one.relevant else None,
    "false_positives_at_10": lambda one: len(one.hits[:10]) - sum(one.hits[:10]),
    "false_positive_free_at_10": lambda one: all(one.hits[:10]),
    "empty_rate": lambda one: not one.hits,
}
"""An event's figures, as the mean over its searches; None where a search has no say: precision is over searches that
returned anything, ranks and recall over those with anything to find."""


def retrieval_table(
    found: Sequence[Retrieval], person: NDArray[np.int64], people: int, *, seed: int
) -> dict[str, Rate]:
    """The event's figures by name, with intervals; `person` (n,) says by number whose selfie each search is."""
    table = {}
    for name, figure in RETRIEVAL_FIGURES.items():
        said = [figure(one) for one in found]
        kept = np.array([value is not None for value in said])
        values = np.array([float(value) for value in said if value is not None])
        table[name] = mean_of_pairs(values, person[kept], person[kept], people, seed=seed)
    return table


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)
