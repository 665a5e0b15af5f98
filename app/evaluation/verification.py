"""1:1 verification: listed pairs of photos, and all pairs of the photos."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import Calibration
from app.errors import OperatorError
from app.evaluation.all_pairs import AllPairs
from app.evaluation.datasets import Pair
from app.evaluation.failures import Failure, Picture, worst
from app.evaluation.groups import rates_by_group
from app.evaluation.metrics import Rate, curve, decide_by_folds, fnmr_at_fmr, folded_accuracy, mean_of_pairs
from app.evaluation.systems.photos import identity_of
from app.evaluation.systems.protocol import Embeds, System

_FMRS = (1e-2, 1e-3, 1e-4)
MIN_EXPECTED_ERRORS = 10
"""An error rate is reported only if at least this many errors are expected at it."""

Advance = Callable[[], None]


def compare_pairs(system: System, pairs: Sequence[Pair], threads: int, advance: Advance) -> NDArray[np.float64]:
    """Return the similarity of each pair, -inf where a face is missing; compares in several threads."""

    def compare(pair: Pair) -> float:
        similarity = system.compare(pair.first, pair.second)
        advance()
        return similarity

    with ThreadPoolExecutor(threads) as pool:
        return np.array(list(pool.map(compare, pairs)))


def require_pairs(pairs: Sequence[Pair]) -> None:
    """Raise `OperatorError` if the pairs cannot be evaluated, or a photo is missing, before any photo is opened."""
    if len({pair.fold for pair in pairs}) < 2:
        raise OperatorError(
            "The pairs must have at least two folds; the first line of the file has the number of folds."
        )
    if len({pair.is_same for pair in pairs}) < 2:
        raise OperatorError("The file must have pairs of one person (genuine) and pairs of two people (impostor).")
    for photo in {photo: None for pair in pairs for photo in (pair.first, pair.second)}:
        identity_of(photo)


def evaluate_pairs(
    pairs: Sequence[Pair], similarities: NDArray[np.float64], groups: dict[str, str], *, seed: int
) -> tuple[dict[str, Any], list[Failure]]:
    """Return accuracy over folds, TAR at fixed FAR, curves and rates by group; and the worst failures."""
    first, second, people = _numbered(pairs)
    is_same, fold = _kinds_and_folds(pairs)
    genuine, impostors = similarities[is_same], similarities[~is_same]
    folded = folded_accuracy(similarities, is_same, fold, first, second, people, seed=seed)
    threshold = float(np.mean(folded.thresholds))
    table = []
    for rate in _FMRS:
        if rate * len(impostors) < MIN_EXPECTED_ERRORS:
            continue
        fmr_threshold, fnmr = fnmr_at_fmr(
            genuine,
            impostors,
            (first[is_same], second[is_same]),
            (first[~is_same], second[~is_same]),
            people,
            rate,
            seed=seed,
        )
        table.append({"far": rate, "threshold": fmr_threshold, "tar": fnmr.complement.as_json()})
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
    """Return the difference in accuracy of two systems on the same pairs.

    The interval of the difference is narrower than that of either accuracy, because the same pairs are hard for both.
    """
    is_same, fold = _kinds_and_folds(pairs)
    correct_before, correct_after = (
        decide_by_folds(similarities, is_same, fold)[0] for similarities in (before, after)
    )
    return mean_of_pairs(correct_after.astype(float) - correct_before, *_numbered(pairs), seed=seed)


def _numbered(pairs: Sequence[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the number of the person in each pair's first and second photo, and the number of people."""
    names, number = np.unique(
        [name for pair in pairs for name in (pair.first_person, pair.second_person)], return_inverse=True
    )
    return number[::2].astype(np.int64), number[1::2].astype(np.int64), len(names)


def _kinds_and_folds(pairs: Sequence[Pair]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    return np.array([pair.is_same for pair in pairs]), np.array([pair.fold for pair in pairs])


def evaluate_all_pairs(
    system: Embeds, photos: dict[Path, str], calibration: Calibration, advance: Advance, *, seed: int
) -> dict[str, Any]:
    """Compare all pairs of these photos, for rates too low to measure on the listed pairs; in process only.

    Returns TAR at fixed FAR, and stated against observed false-match rates. A photo without a face matches no other.
    """
    names = sorted(set(photos.values()))
    number = {name: index for index, name in enumerate(names)}
    people, embeddings = [], []
    for photo, name in photos.items():
        people.append(number[name])
        embeddings.append(system.embed(photo))
        advance()
    thresholds = {rate: calibration.similarity_at(rate) for rate in _FMRS}
    all_pairs = AllPairs(embeddings, np.array(people), len(names), min_threshold=min(thresholds.values()))
    table = []
    for rate in _FMRS:
        if rate * all_pairs.impostors >= MIN_EXPECTED_ERRORS and len(all_pairs.genuine):
            threshold, accepted = all_pairs.true_accept_rate(rate, seed)
            table.append({"far": rate, "threshold": threshold, "tar": accepted.as_json()})
    stated = [
        {"stated": rate, "threshold": threshold, "observed": all_pairs.false_match_rate(threshold, seed).as_json()}
        for rate, threshold in thresholds.items()
    ]
    return {
        "photos": len(photos),
        "photos_without_a_face": sum(embedding is None for embedding in embeddings),
        "people": len(names),
        "genuine": len(all_pairs.genuine),
        "impostors": all_pairs.impostors,
        "tar_at_far": table,
        "stated_fmr": {"calibration": calibration.description, "rates": stated},
        "curve": all_pairs.curve(),
        "histogram": all_pairs.histogram(),
    }


def _histogram(genuine: NDArray[np.float64], impostors: NDArray[np.float64]) -> dict[str, Any]:
    """Return both histograms, over cosines or, if any similarity is above 1.5, over percentages."""
    scale = 100.0 if np.nanmax(np.where(np.isfinite(genuine), genuine, np.nan), initial=0) > 1.5 else 1.0
    edges = np.linspace(0 if scale > 1 else -0.5, scale, 76)
    return {
        "edges": edges.tolist(),
        "genuine": np.histogram(genuine[np.isfinite(genuine)], edges)[0].tolist(),
        "impostors": np.histogram(impostors[np.isfinite(impostors)], edges)[0].tolist(),
    }


def _worst(pairs: Sequence[Pair], similarities: NDArray[np.float64], threshold: float) -> list[Failure]:
    """Return the pairs decided wrongly at the threshold, and pairs with a missing face."""
    failures = []
    for pair, similarity in zip(pairs, similarities.tolist(), strict=True):
        if (similarity >= threshold) == pair.is_same and np.isfinite(similarity):
            continue
        description = f"{'same person' if pair.is_same else 'different people'}, "
        description += f"{similarity:.3f}" if np.isfinite(similarity) else "a face is missing"
        pictures = Picture("", pair.first), Picture("", pair.second)
        failures.append(Failure(description, pictures, abs(similarity - threshold)))
    return worst(failures)
