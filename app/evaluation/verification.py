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
from app.evaluation.every_pair import EveryPair
from app.evaluation.metrics import Rate, curve, false_match_rate, false_non_match_rate, folded_accuracy, missed_at
from app.evaluation.systems import MISSING, Embeds, System, identity_of

_RATES = (1e-2, 1e-3, 1e-4)
LEAST_BEYOND = 10
"""A rate is shown where so many comparisons lie beyond it."""

Advance = Callable[[], None]


def compare_pairs(
    system: System, pairs: Sequence[Pair], answers: Answers, threads: int, advance: Advance
) -> NDArray[np.float64]:
    """The similarity of each pair, -inf where a face is missing."""

    def work(pair: Pair) -> float:
        key = f"pair {identity_of(pair.first)} {identity_of(pair.second)}"
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
        if rate * len(impostors) < LEAST_BEYOND:
            continue
        at, missed = missed_at(
            genuine, impostors, (first[is_same], second[is_same]), (first[~is_same], second[~is_same]), len(names),
            rate, seed=seed,
        )  # fmt: skip
        table.append({"far": rate, "threshold": at, "tar": _accepted(missed).as_json()})
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
    stated false-match rates against the observed. A photo without a face matches none of the others."""
    names = sorted(set(photos.values()))
    number = {name: index for index, name in enumerate(names)}
    people, embeddings = [], []
    for photo, name in photos.items():
        people.append(number[name])
        embeddings.append(system.embed(photo))
        advance()
    every = EveryPair(embeddings, np.array(people), len(names))
    table = []
    for rate in _RATES:
        if rate * every.impostors >= LEAST_BEYOND:
            threshold, accepted = every.accepted_at(rate, seed)
            table.append({"far": rate, "threshold": threshold, "tar": accepted.as_json()})
    stated = [
        {"stated": rate, "threshold": calibration.similarity_at(rate),
         "observed": every.matched(calibration.similarity_at(rate), seed).as_json()}
        for rate in _RATES
    ]  # fmt: skip
    return {
        "photos": len(photos),
        "photos_without_a_face": sum(one is None for one in embeddings),
        "people": len(names),
        "genuine": len(every.genuine),
        "impostors": every.impostors,
        "tar_at_far": table,
        "stated_fmr": {"calibration": calibration.source, "rates": stated},
        "curve": every.curve(),
        "histogram": every.histogram(),
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


def _accepted(missed: Rate) -> Rate:
    return Rate(1 - missed.value, 1 - missed.high, 1 - missed.low, missed.count)


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
        (abs(similarity - threshold) if np.isfinite(similarity) else np.inf, pair, similarity)
        for pair, similarity in zip(pairs, similarities.tolist(), strict=True)
        if (similarity >= threshold) != pair.is_same
    ]
    wrong.sort(key=lambda one: -one[0])
    return [
        {"first": str(pair.first), "second": str(pair.second), "is_same": pair.is_same,
         "similarity": similarity if np.isfinite(similarity) else None}
        for _, pair, similarity in wrong[:most]
    ]  # fmt: skip
