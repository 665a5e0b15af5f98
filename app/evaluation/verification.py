"""Is it the same person: pairs of photos, and every pair there is."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import Calibration
from app.errors import OperatorError
from app.evaluation.datasets import Pair
from app.evaluation.every_pair import EveryPair
from app.evaluation.failures import Failure, Picture, worst
from app.evaluation.groups import rates_by_group
from app.evaluation.metrics import Rate, curve, decide_by_folds, folded_accuracy, mean_of_pairs, missed_at
from app.evaluation.systems.photos import identity_of
from app.evaluation.systems.protocol import Embeds, System

_RATES = (1e-2, 1e-3, 1e-4)
MIN_RATE_SHARE = 10
"""A rate is shown where so many comparisons lie beyond it."""

Advance = Callable[[], None]


def compare_pairs(system: System, pairs: Sequence[Pair], threads: int, advance: Advance) -> NDArray[np.float64]:
    """The similarity of each pair, -inf where a face is missing."""

    def work(pair: Pair) -> float:
        similarity = system.compare(pair.first, pair.second)
        advance()
        return similarity

    with ThreadPoolExecutor(threads) as pool:
        return np.array(list(pool.map(work, pairs)))


def require_pairs(pairs: Sequence[Pair]) -> None:
    """Raises `OperatorError` where these pairs, or their photos, can tell nothing, before a photo is looked at."""
    if len({pair.fold for pair in pairs}) < 2:
        raise OperatorError("Pairs of at least two folds are needed; the first line says how many folds there are.")
    if len({pair.is_same for pair in pairs}) < 2:
        raise OperatorError("Pairs of one person and pairs of two people are needed.")
    for photo in {photo: None for pair in pairs for photo in (pair.first, pair.second)}:
        identity_of(photo)


def evaluate_pairs(
    pairs: Sequence[Pair], similarities: NDArray[np.float64], groups: dict[str, str], *, seed: int
) -> tuple[dict[str, Any], list[Failure]]:
    """Accuracy over folds, true accept rates at fixed false-match rates, curves, rates by group; and the worst."""
    first, second, people = _numbered(pairs)
    is_same, fold = _sides_and_folds(pairs)
    genuine, impostors = similarities[is_same], similarities[~is_same]
    folded = folded_accuracy(similarities, is_same, fold, first, second, people, seed=seed)
    threshold = float(np.mean(folded.thresholds))
    table = []
    for rate in _RATES:
        if rate * len(impostors) < MIN_RATE_SHARE:
            continue
        at, missed = missed_at(
            genuine,
            impostors,
            (first[is_same], second[is_same]),
            (first[~is_same], second[~is_same]),
            people,
            rate,
            seed=seed,
        )
        table.append({"far": rate, "threshold": at, "tar": missed.complement.as_json()})
    return {
        "pairs": len(pairs),
        "people": people,
        "pairs_without_a_face": int((~np.isfinite(similarities)).sum()),
        "accuracy": folded.accuracy.as_json(),
        "thresholds_by_fold": folded.thresholds,
        "tar_at_far": table,
        "curve": curve(genuine, impostors),
        "histogram": _histogram(genuine, impostors),
        "groups": rates_by_group(pairs, similarities, groups, threshold, seed=seed) if groups else None,
    }, _worst(pairs, similarities, threshold)


def accuracy_gain(pairs: Sequence[Pair], before: NDArray[np.float64], after: NDArray[np.float64], *, seed: int) -> Rate:
    """How much more accurate one way is than another on the very same pairs; the interval is of the difference, which
    is known better than either: what is hard is hard for both."""
    is_same, fold = _sides_and_folds(pairs)
    right, instead = (decide_by_folds(similarities, is_same, fold)[0] for similarities in (before, after))
    return mean_of_pairs(instead.astype(float) - right, *_numbered(pairs), seed=seed)


def _numbered(pairs: Sequence[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Whose photos each pair's are, by number, and how many people there are."""
    names, number = np.unique(
        [name for pair in pairs for name in (pair.first_person, pair.second_person)], return_inverse=True
    )
    return number[::2].astype(np.int64), number[1::2].astype(np.int64), len(names)


def _sides_and_folds(pairs: Sequence[Pair]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    return np.array([pair.is_same for pair in pairs]), np.array([pair.fold for pair in pairs])


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
    at = {rate: calibration.similarity_at(rate) for rate in _RATES}
    every = EveryPair(embeddings, np.array(people), len(names), down_to=min(at.values()))
    table = []
    for rate in _RATES:
        if rate * every.impostors >= MIN_RATE_SHARE and len(every.genuine):
            threshold, accepted = every.accepted_at(rate, seed)
            table.append({"far": rate, "threshold": threshold, "tar": accepted.as_json()})
    stated = [
        {"stated": rate, "threshold": threshold, "observed": every.matched(threshold, seed).as_json()}
        for rate, threshold in at.items()
    ]
    return {
        "photos": len(photos),
        "photos_without_a_face": sum(one is None for one in embeddings),
        "people": len(names),
        "genuine": len(every.genuine),
        "impostors": every.impostors,
        "tar_at_far": table,
        "stated_fmr": {"calibration": calibration.account, "rates": stated},
        "curve": every.curve(),
        "histogram": every.histogram(),
    }


def _histogram(genuine: NDArray[np.float64], impostors: NDArray[np.float64]) -> dict[str, Any]:
    scale = 100.0 if np.nanmax(np.where(np.isfinite(genuine), genuine, np.nan), initial=0) > 1.5 else 1.0
    edges = np.linspace(0 if scale > 1 else -0.5, scale, 76)
    return {
        "edges": edges.tolist(),
        "genuine": np.histogram(genuine[np.isfinite(genuine)], edges)[0].tolist(),
        "impostors": np.histogram(impostors[np.isfinite(impostors)], edges)[0].tolist(),
    }


def _worst(pairs: Sequence[Pair], similarities: NDArray[np.float64], threshold: float) -> list[Failure]:
    failures = []
    for pair, similarity in zip(pairs, similarities.tolist(), strict=True):
        if (similarity >= threshold) == pair.is_same and np.isfinite(similarity):
            continue
        said = f"{'same person' if pair.is_same else 'different people'}, "
        said += f"{similarity:.3f}" if np.isfinite(similarity) else "a face is missing"
        pictures = Picture("", pair.first), Picture("", pair.second)
        failures.append(Failure(said, pictures, abs(similarity - threshold)))
    return worst(failures)
