"""Who is it: searches of galleries of several sizes, by people who are in them and people who are not."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.domain import Calibration, DecisionPolicy
from app.errors import OperatorError
from app.evaluation.datasets import Person, Split, split_open_set
from app.evaluation.metrics import OpenSet, missed_at, rate_of_people
from app.evaluation.systems import InProcess, System
from app.evaluation.verification import LEAST_BEYOND
from app.matcher.thresholds import Thresholds

_LIMIT = 20
_FPIRS = (1e-1, 1e-2)
_STATED = (1e-1, 5e-2, 1e-2)
_FIXED = (1e-3, 1e-4, 1e-5)
"""False-match rates of one comparison whose thresholds are kept while galleries grow."""


def evaluate_galleries(
    system: InProcess, people: Sequence[Person], sizes: Sequence[int], calibration: Calibration,
    advance: Callable[[], None], *, seed: int, searches: int, repeats: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row a gallery size: rank-1, CMC, FNIR at fixed FPIR, stated against observed rates, FPIR at fixed thresholds.

    Each size is drawn `repeats` times; the searches of all are counted together.
    """
    rows = []
    for size in sizes:
        runs = []
        for repeat in range(repeats):
            split = split_open_set(list(people), size, seed=seed + 1000 * repeat, searches=searches)
            system.forget()
            runs.append(run_split(system, split, advance))
        rows.append({"gallery": size, **describe(runs, calibration, size, seed=seed)})
    return rows


def run_split(system: System, split: Split, advance: Callable[[], None]) -> tuple[OpenSet, list[str], list[str]]:
    """Enrol the gallery, then search; who was searched for, too."""
    # Folders have names that an id may not have.
    keys = {name: f"p{number:06}" for number, (name, _) in enumerate(split.gallery)}
    for name, photo in split.gallery:
        system.enroll(keys[name], photo)
        advance()
    ranks, mates, strangers = [], [], []
    for name, photo in split.mated:
        hits = system.search(photo, _LIMIT) or []
        rank = next((place for place, hit in enumerate(hits, 1) if hit.key == keys[name]), 0)
        ranks.append(rank)
        mates.append(hits[rank - 1].similarity if rank else float("-inf"))
        advance()
    for _, photo in split.strangers:
        hits = system.search(photo, 1) or []
        strangers.append(hits[0].similarity if hits else float("-inf"))
        advance()
    found = OpenSet(np.array(ranks, dtype=np.int64), np.array(mates), np.array(strangers))
    return found, [name for name, _ in split.mated], [name for name, _ in split.strangers]


def describe(
    runs: Sequence[tuple[OpenSet, list[str], list[str]]], calibration: Calibration | None, size: int, *, seed: int
) -> dict[str, Any]:
    """The row of one gallery size."""
    together = OpenSet(
        np.concatenate([run.ranks for run, _, _ in runs]),
        np.concatenate([run.mate_similarities for run, _, _ in runs]),
        np.concatenate([run.stranger_similarities for run, _, _ in runs]),
    )
    if not len(together.ranks) or not len(together.stranger_similarities):
        raise OperatorError("Nobody to search for: people with two photos or more are needed, and people left out.")
    mates = [name for _, names, _ in runs for name in names]
    numbers = _numbers([*mates, *(name for _, _, names in runs for name in names)])
    mated, strangers, number = numbers[: len(mates)], numbers[len(mates) :], int(numbers.max()) + 1
    misses = rate_of_people(together.misses(float("-inf")), mated, number, seed=seed)
    table = []
    for fpir in _FPIRS:
        if fpir * len(together.stranger_similarities) < LEAST_BEYOND:
            continue
        # A mate counts with its similarity where it came first, else with none: FNIR is then FNMR at the threshold.
        first = np.where(together.ranks == 1, together.mate_similarities, -np.inf)
        threshold, missed = missed_at(
            first, together.stranger_similarities, (mated, mated), (strangers, strangers), number, fpir, seed=seed
        )
        table.append({"fpir": fpir, "threshold": threshold, "fnir": missed.as_json()})
    row: dict[str, Any] = {
        "searches_of_people_inside": len(together.ranks),
        "searches_of_strangers": len(together.stranger_similarities),
        "rank_1_missed": misses.as_json(),
        "cmc": together.cmc(),
        "fnir_at_fpir": table,
    }
    if calibration is not None:
        stated = []
        for rate in _STATED:
            used = Thresholds.of(calibration, DecisionPolicy(rate, rate), size)
            hit = together.stranger_similarities >= used.match
            observed = rate_of_people(hit, strangers, number, seed=seed)
            stated.append(
                {"stated": rate, "threshold": used.match, "observed": observed.as_json(),
                 "fnir": together.fnir(used.match)}
            )  # fmt: skip
        row["stated_false_match_rate"] = stated
        row["fpir_at_threshold"] = []
        for fmr in _FIXED:
            kept = Thresholds.of(calibration, DecisionPolicy(), size, calibration.similarity_at(fmr))
            found = rate_of_people(
                together.stranger_similarities >= kept.match, strangers, number, seed=seed
            )  # fmt: skip
            row["fpir_at_threshold"].append(
                {"threshold": kept.match, "stated": kept.false_match_rate, "fpir": found.as_json()}
            )  # fmt: skip
    return row


def _numbers(names: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
