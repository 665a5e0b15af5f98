"""Is it the same person: pairs of photos, and every pair there is."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain import Calibration
from app.evaluation.answers import Answers
from app.evaluation.datasets import Pair
from app.evaluation.metrics import (
    Rate,
    curve,
    false_match_rate,
    false_non_match_rate,
    folded_accuracy,
    rate_of_pairs,
    threshold_at,
)
from app.evaluation.systems import MISSING, Embeds, System

_RATES = (1e-2, 1e-3, 1e-4)
_REPLICATES = 200

Advance = Callable[[], None]


def compare_pairs(
    system: System, pairs: Sequence[Pair], answers: Answers, threads: int, advance: Advance
) -> NDArray[np.float64]:
    """The similarity of each pair, -inf where a face is missing."""

    def work(pair: Pair) -> float:
        key = f"pair {pair.first} {pair.second}"
        if key not in answers:
            answers.put(key, max(system.compare(pair.first, pair.second), -1e9))
        advance()
        value = float(answers.get(key))
        return value if value > -1e8 else MISSING

    with ThreadPoolExecutor(threads) as pool:
        return np.array(list(pool.map(work, pairs)))


def evaluate_pairs(
    pairs: Sequence[Pair], similarities: NDArray[np.float64], groups: dict[str, str], *, seed: int
) -> dict[str, Any]:
    """Accuracy over folds, true accept rates at fixed false-match rates, curves, rates by group."""
    names = sorted({name for pair in pairs for name in (pair.first_person, pair.second_person)})
    number = {name: index for index, name in enumerate(names)}
    first = np.array([number[pair.first_person] for pair in pairs])
    second = np.array([number[pair.second_person] for pair in pairs])
    is_same = np.array([pair.is_same for pair in pairs])
    fold = np.array([pair.fold for pair in pairs])
    genuine, impostors = similarities[is_same], similarities[~is_same]
    folded = folded_accuracy(similarities, is_same, fold, first, second, len(names), seed=seed)
    threshold = float(np.mean(folded.thresholds))
    table = []
    for rate in _RATES:
        if rate * len(impostors) < 1:
            continue
        at = threshold_at(impostors, rate)
        missed = rate_of_pairs(genuine < at, first[is_same], second[is_same], len(names), seed=seed)
        accepted = Rate(1 - missed.value, 1 - missed.high, 1 - missed.low, missed.count)
        table.append({"far": rate, "threshold": at, "tar": accepted.as_json()})
    return {
        "pairs": len(pairs),
        "people": len(names),
        "pairs_without_a_face": int((~np.isfinite(similarities)).sum()),
        "accuracy": folded.accuracy.as_json(),
        "thresholds_by_fold": folded.thresholds,
        "tar_at_far": table,
        "curve": curve(genuine, impostors),
        "histogram": _histogram(genuine, impostors),
        "groups": rates_by_group(pairs, similarities, groups, threshold) if groups else None,
        "worst": _worst(pairs, similarities, threshold),
    }


def evaluate_all_pairs(
    system: Embeds, photos: dict[Path, str], calibration: Calibration, advance: Advance, *, seed: int
) -> dict[str, Any]:
    """Every pair of these photos (in process only): true accept rates at rates that few pairs cannot tell, and the
    stated false-match rates against the observed."""
    known = []
    for photo, name in photos.items():
        known.append((name, system.embed(photo)))
        advance()
    found = [(name, embedding) for name, embedding in known if embedding is not None]
    names = sorted({name for name, _ in found})
    number = {name: index for index, name in enumerate(names)}
    people = np.array([number[name] for name, _ in found])
    stacked = np.stack([embedding for _, embedding in found])
    similarities, same, pair_people = _all_pairs(stacked, people)
    lost = sum(1 for _, embedding in known if embedding is None)
    genuine, impostors = similarities[same], similarities[~same]
    by_pair = _by_people(pair_people, similarities, same, len(names))
    table = []
    for rate in _RATES:
        at = threshold_at(impostors, rate)
        value = 1 - false_non_match_rate(genuine, at)
        table.append({"far": rate, "threshold": at, "tar": by_pair.accepted(at, value, seed).as_json()})
    stated = []
    for rate in _RATES:
        at = calibration.similarity_at(rate)
        observed = false_match_rate(impostors, at)
        stated.append({"stated": rate, "threshold": at, "observed": by_pair.matched(at, observed, seed).as_json()})
    return {
        "photos": len(photos),
        "photos_without_a_face": lost,
        "people": len(names),
        "genuine": len(genuine),
        "impostors": len(impostors),
        "tar_at_far": table,
        "stated_fmr": {"calibration": calibration.source, "rates": stated},
        "curve": curve(genuine, _sample(impostors, seed)),
        "histogram": _histogram(genuine, impostors),
    }


def rates_by_group(
    pairs: Sequence[Pair], similarities: NDArray[np.float64], groups: dict[str, str], threshold: float
) -> dict[str, Any]:
    """FMR and FNMR of each group at the shared threshold, and the largest ratio between two groups.

    An impostor pair counts for a group where both people are of it. A ratio needs both rates above zero.
    """
    genuine: defaultdict[str, list[float]] = defaultdict(list)
    impostor: defaultdict[str, list[float]] = defaultdict(list)
    for pair, similarity in zip(pairs, similarities, strict=True):
        group = groups.get(pair.first_person)
        if group is None or groups.get(pair.second_person) != group:
            continue
        (genuine if pair.is_same else impostor)[group].append(float(similarity))
    rows = {
        group: {
            "fmr": false_match_rate(np.array(impostor[group]), threshold) if impostor[group] else None,
            "fnmr": false_non_match_rate(np.array(genuine[group]), threshold) if genuine[group] else None,
            "impostors": len(impostor[group]),
            "genuine": len(genuine[group]),
        }
        for group in sorted({*genuine, *impostor})
    }
    return {
        "threshold": threshold,
        "groups": rows,
        "largest_ratio": {name: _largest_ratio([row[name] for row in rows.values()]) for name in ("fmr", "fnmr")},
    }


def _largest_ratio(rates: Sequence[Any]) -> float | None:
    known = [float(rate) for rate in rates if rate]
    return max(known) / min(known) if len(known) > 1 else None


def _all_pairs(
    stacked: NDArray[np.float32], people: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    rows, columns = np.triu_indices(len(stacked), 1)
    similarities = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), 1 << 20):
        part = slice(start, start + (1 << 20))
        similarities[part] = np.einsum("ij,ij->i", stacked[rows[part]], stacked[columns[part]])
    low = np.minimum(people[rows], people[columns]).astype(np.int64)
    high = np.maximum(people[rows], people[columns]).astype(np.int64)
    return similarities.astype(np.float64), people[rows] == people[columns], low * (int(people.max()) + 1) + high


class _by_people:  # noqa: N801 - built once, used as a function of a threshold
    """Counts by pair of people, so that drawing people anew costs little."""

    def __init__(
        self, pair_people: NDArray[np.int64], similarities: NDArray[np.float64], same: NDArray[np.bool_], people: int
    ) -> None:
        self._pairs, self._index = np.unique(pair_people, return_inverse=True)
        self._similarities, self._same, self._people = similarities, same, people
        self._first, self._second = self._pairs // people, self._pairs % people

    def accepted(self, threshold: float, value: float, seed: int) -> Rate:
        return self._rate(self._same, self._similarities >= threshold, value, seed)

    def matched(self, threshold: float, value: float, seed: int) -> Rate:
        return self._rate(~self._same, self._similarities >= threshold, value, seed)

    def _rate(self, mask: NDArray[np.bool_], hit: NDArray[np.bool_], value: float, seed: int) -> Rate:
        total = np.bincount(self._index[mask], minlength=len(self._pairs)).astype(np.float64)
        hits = np.bincount(self._index[mask & hit], minlength=len(self._pairs)).astype(np.float64)
        rng, values = np.random.default_rng(seed), []
        for _ in range(_REPLICATES):
            drawn = np.bincount(rng.integers(0, self._people, self._people), minlength=self._people)
            same_person = self._first == self._second
            weight = np.where(same_person, drawn[self._first], drawn[self._first] * drawn[self._second])
            denominator = float((weight * total).sum())
            if denominator:
                values.append(float((weight * hits).sum()) / denominator)
        low, high = np.quantile(values, (0.025, 0.975))
        return Rate(value, float(low), float(high), int(mask.sum()))


def _sample(values: NDArray[np.float64], seed: int, most: int = 200_000) -> NDArray[np.float64]:
    if len(values) <= most:
        return values
    return np.random.default_rng(seed).choice(values, most, replace=False)


def _histogram(genuine: NDArray[np.float64], impostors: NDArray[np.float64]) -> dict[str, Any]:
    scale = 100.0 if np.nanmax(np.where(np.isfinite(genuine), genuine, np.nan), initial=0) > 1.5 else 1.0
    edges = np.linspace(0 if scale > 1 else -0.5, scale, 76)
    return {
        "edges": edges.tolist(),
        "genuine": np.histogram(genuine[np.isfinite(genuine)], edges)[0].tolist(),
        "impostors": np.histogram(impostors[np.isfinite(impostors)], edges)[0].tolist(),
    }


def _worst(pairs: Sequence[Pair], similarities: NDArray[np.float64], threshold: float, most: int = 24) -> list[Any]:
    """The most wrong decisions, for somebody to look at."""
    wrong = [
        (abs(similarity - threshold) if np.isfinite(similarity) else 2.0, pair, similarity)
        for pair, similarity in zip(pairs, similarities.tolist(), strict=True)
        if (similarity >= threshold) != pair.is_same
    ]
    wrong.sort(key=lambda one: -one[0])
    return [
        {"first": str(pair.first), "second": str(pair.second), "is_same": pair.is_same,
         "similarity": similarity if np.isfinite(similarity) else None}
        for _, pair, similarity in wrong[:most]
    ]  # fmt: skip
