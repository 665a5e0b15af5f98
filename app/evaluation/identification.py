"""Who is it: searches of galleries of several sizes, by people who are in them and people who are not."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.domain import Calibration, DecisionPolicy
from app.evaluation.answers import Answers
from app.evaluation.datasets import Person, Split, split_open_set
from app.evaluation.metrics import OpenSet, rate_of_people, threshold_at
from app.evaluation.systems import InProcess, System
from app.matcher.thresholds import Thresholds

_LIMIT = 20
_FPIRS = (1e-1, 1e-2)
_STATED = (1e-1, 5e-2, 1e-2)


def evaluate_galleries(
    system: InProcess, people: Sequence[Person], sizes: Sequence[int], calibration: Calibration,
    advance: Callable[[], None], *, seed: int, searches: int, repeats: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row a gallery size: rank-1, CMC, FNIR at fixed FPIR, and stated against observed false-match rates.

    Each size is drawn `repeats` times; the searches of all are counted together.
    """
    rows = []
    for size in sizes:
        runs = []
        for repeat in range(repeats):
            split = split_open_set(list(people), size, seed=seed + 1000 * repeat, searches=searches)
            system.forget()
            runs.append(run_split(system, split, None, advance))
        rows.append({"gallery": size, **describe(runs, calibration, size, seed=seed)})
    return rows


def run_split(
    system: System, split: Split, answers: Answers | None, advance: Callable[[], None]
) -> tuple[OpenSet, list[str], list[str]]:
    """Enrol the gallery, then search; who was searched for, too."""
    enrolled = set()
    for name, photo in split.gallery:
        key = f"enrolled {name}"
        if answers is None or key not in answers:
            stored = system.enroll(name, photo)
            if answers is not None:
                answers.put(key, stored)
        else:
            stored = answers.get(key)
        if stored:
            enrolled.add(name)
        advance()
    ranks, mates, strangers = [], [], []
    for name, photo in split.mated:
        hits = system.search(photo, _LIMIT) or []
        rank = next((place for place, hit in enumerate(hits, 1) if hit.key == name), 0)
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
    mated = _numbers([name for _, names, _ in runs for name in names])
    strangers = _numbers([name for _, _, names in runs for name in names])
    misses = rate_of_people(together.misses(-1.0), mated, int(mated.max()) + 1, seed=seed)
    table = []
    for fpir in _FPIRS:
        threshold = threshold_at(together.stranger_similarities, fpir)
        missed = rate_of_people(together.misses(threshold), mated, int(mated.max()) + 1, seed=seed)
        table.append({"fpir": fpir, "threshold": threshold, "fnir": missed.as_json()})
    row = {
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
            observed = rate_of_people(hit, strangers, int(strangers.max()) + 1, seed=seed)
            stated.append(
                {"stated": rate, "threshold": used.match, "observed": observed.as_json(),
                 "fnir": together.fnir(used.match)}
            )  # fmt: skip
        row["stated_false_match_rate"] = stated
    return row


def _numbers(names: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
