"""Error rates from similarities, and how far they may be off. Pure functions on numpy arrays.

A missing similarity (no face found) is -inf: it matches nobody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        """For a report."""
        return {"value": self.value, "low": self.low, "high": self.high, "count": self.count}


def threshold_at(impostors: Similarities, rate: float) -> float:
    """The least similarity that no more than `rate` of these reach."""
    ordered = np.sort(impostors)[::-1]
    allowed = int(np.floor(rate * len(ordered)))
    if allowed >= len(ordered):
        return -1.0
    return float(np.nextafter(ordered[allowed], np.inf))


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
    return [
        (float(one), false_match_rate(impostors, one), false_non_match_rate(genuine, one)) for one in thresholds
    ]  # fmt: skip


def bootstrap(
    weighted: Callable[[NDArray[np.float64]], float], people: int, *, seed: int, replicates: int = _REPLICATES
) -> tuple[float, float]:
    """The middle 95% of a statistic over people drawn anew; `weighted` takes how often each was drawn, (people,)."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(replicates):
        drawn = np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)
        value = weighted(drawn)
        if np.isfinite(value):
            values.append(value)
    if not values:
        return float("nan"), float("nan")
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def rate_of_pairs(
    wrong: NDArray[np.bool_], first: NDArray[np.int64], second: NDArray[np.int64], people: int, *, seed: int
) -> Rate:
    """The share of comparisons that went wrong; each is of two people (or one), by number: a pair counts as often as
    both were drawn."""

    def weighted(drawn: NDArray[np.float64]) -> float:
        weights = np.where(first == second, drawn[first], drawn[first] * drawn[second])
        total = weights.sum()
        return float((weights * wrong).sum() / total) if total else float("nan")

    low, high = bootstrap(weighted, people, seed=seed)
    return Rate(float(wrong.mean()) if len(wrong) else float("nan"), low, high, len(wrong))


def rate_of_people(wrong: NDArray[np.bool_], person: NDArray[np.int64], people: int, *, seed: int) -> Rate:
    """The share of searches that went wrong, each of one person."""
    return rate_of_pairs(wrong, person, person, people, seed=seed)


@dataclass(frozen=True, slots=True)
class FoldedAccuracy:
    """The share of pairs decided rightly with the threshold that was best on the other folds."""

    accuracy: Rate
    thresholds: list[float]


def folded_accuracy(
    similarities: Similarities, is_same: NDArray[np.bool_], fold: NDArray[np.int64],
    first: NDArray[np.int64], second: NDArray[np.int64], people: int, *, seed: int,
) -> FoldedAccuracy:  # fmt: skip
    """LFW's protocol; a pair with a missing face counts as wrong, whatever it is of."""
    right = np.zeros(len(similarities), dtype=bool)
    thresholds = []
    for one in np.unique(fold):
        threshold = best_threshold(similarities[fold != one], is_same[fold != one])
        thresholds.append(threshold)
        inside = fold == one
        right[inside] = (similarities[inside] >= threshold) == is_same[inside]
    right &= np.isfinite(similarities)
    wrong = rate_of_pairs(~right, first, second, people, seed=seed)
    return FoldedAccuracy(Rate(1 - wrong.value, 1 - wrong.high, 1 - wrong.low, wrong.count), thresholds)


def best_threshold(similarities: Similarities, is_same: NDArray[np.bool_]) -> float:
    """The threshold that decides most pairs rightly; of several in a row, the middle one."""
    order = np.argsort(similarities)
    ordered, same = similarities[order], is_same[order]
    # Right with the threshold just above the i-th: impostors up to it, genuine beyond it.
    right = np.concatenate([[0], np.cumsum(~same)]) + (same.sum() - np.concatenate([[0], np.cumsum(same)]))
    best = np.flatnonzero(right == right.max())
    middle = int(best[len(best) // 2])
    low = ordered[middle - 1] if middle else -1.0
    high = ordered[middle] if middle < len(ordered) else 1.0
    return float((max(low, -1.0) + min(high, 1.0)) / 2)


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Searches of a gallery: of people who are in it (`ranks` from 1, 0 for not found; the mate's similarity), and the
    highest similarity of people who are not."""

    ranks: NDArray[np.int64]
    mate_similarities: Similarities
    stranger_similarities: Similarities

    def fpir(self, threshold: float) -> float:
        """The share of searches of strangers that find somebody at or above the threshold."""
        return false_match_rate(self.stranger_similarities, threshold)

    def fnir(self, threshold: float, rank: int = 1) -> float:
        """The share of searches of people in the gallery that do not find them within the first `rank`, at or above the
        threshold."""
        return float(self.misses(threshold, rank).mean())

    def misses(self, threshold: float, rank: int = 1) -> NDArray[np.bool_]:
        """Which of the searches of people in the gallery fail so."""
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


def retrieval_table(found: Sequence[Retrieval]) -> dict[str, float]:
    """The event's figures; precision over searches that returned anything, all else over all searches."""
    some = [one for one in found if one.hits]
    return {
        "precision_at_10": _mean([sum(one.hits[:10]) / len(one.hits[:10]) for one in some]),
        "precision_at_20": _mean([sum(one.hits[:20]) / len(one.hits[:20]) for one in some]),
        "rank_1": _mean([bool(one.hits[:1] and one.hits[0]) for one in found]),
        "rank_5": _mean([any(one.hits[:5]) for one in found]),
        "recall_at_20": _mean([sum(one.hits[:20]) / one.relevant for one in found if one.relevant]),
        "false_positives_at_10": _mean([len(one.hits[:10]) - sum(one.hits[:10]) for one in found]),
        "false_positive_free_at_10": _mean([all(one.hits[:10]) for one in found]),
        "empty_rate": _mean([not one.hits for one in found]),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
