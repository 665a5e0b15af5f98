"""Who is it: searches of galleries of several sizes, by people who are in them and people who are not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import Calibration, DecisionPolicy
from app.errors import OperatorError
from app.evaluation.datasets import Person, Split, draws_of_everybody, split_open_set
from app.evaluation.failures import Failure, Picture, worst
from app.evaluation.metrics import OpenSet, missed_at, rate_of_people
from app.evaluation.systems.photos import digest_of
from app.evaluation.systems.protocol import Gallery, Hit, System
from app.evaluation.verification import MIN_RATE_SHARE
from app.matcher.thresholds import Thresholds

_LIMIT = 20
_FPIRS = (1e-1, 1e-2)
_STATED = (1e-1, 5e-2, 1e-2)
_FIXED = (1e-3, 1e-4, 1e-5)
"""False-match rates of one comparison whose thresholds are kept while galleries grow."""
_RANKS = (1, 2, 5, 10, 20)
_MAX_DRAWS = 30


@dataclass(frozen=True, slots=True)
class GalleryPlan:
    """The galleries of one size, and who is searched for in each."""

    size: int
    splits: list[Split]

    @property
    def steps(self) -> int:
        """How many photos will be enrolled or searched for."""
        return sum(split.steps for split in self.splits)


def plan_galleries(
    people: Sequence[Person], sizes: Sequence[int], *, seed: int, searches: int, repeats: int, is_cheap: bool
) -> list[GalleryPlan]:
    """Draw the galleries: each size `repeats` times; where drawing is cheap, so often that everybody was left out once.

    A gallery of nearly all people leaves few strangers at a time, and rare errors show only on many. `searches`, of
    people inside and of strangers, are at most so many a repeat. Raises `OperatorError`.
    """
    plans = []
    for size in sizes:
        draws = max(repeats, min(_MAX_DRAWS, draws_of_everybody(len(people), size))) if is_cheap else repeats
        each = -(-searches * repeats // draws)
        splits = [split_open_set(list(people), size, seed=seed, searches=each, draw=draw) for draw in range(draws)]
        if not any(split.mated for split in splits) or not any(split.strangers for split in splits):
            raise OperatorError("Nobody to search for: people with two photos or more are needed, and people left out.")
        plans.append(GalleryPlan(size, splits))
    return plans


def evaluate_galleries(
    system: System,
    plans: Sequence[GalleryPlan],
    calibration: Calibration | None,
    advance: Callable[[], None],
    *,
    seed: int,
) -> tuple[list[dict[str, Any]], list[Failure]]:
    """One row a gallery size, and what went most wrong.

    Rank-1, CMC, FNIR at fixed FPIR, what the system itself decided; with a calibration also its stated against observed
    rates, and FPIR at fixed thresholds. The searches of all draws of a size are counted together.
    """
    rows, missed, attracted = [], list[Failure](), list[Failure]()
    for plan in plans:
        runs = []
        for draw, split in enumerate(plan.splits):
            made_of = digest_of([*split.gallery, *split.mated, *split.strangers])
            with system.gallery(f"of {plan.size} people, draw {draw}, {made_of}") as gallery:
                runs.append(run_split(gallery, split, advance))
        rows.append({"gallery": plan.size, **describe(runs, calibration, plan.size, seed=seed)})
        missed += [failure for run in runs for failure in run.missed]
        attracted += [failure for run in runs for failure in run.attracted]
    return rows, [*worst(missed), *worst(attracted)]


@dataclass(frozen=True, slots=True)
class GalleryRun:
    """What the searches of one gallery found: of people in it (n) and of strangers (m), in their orders."""

    found: OpenSet
    mates: list[str]
    strangers: list[str]
    is_mate_matched: NDArray[np.bool_]
    """Whether the system itself called the right person a match, and named them first."""
    is_stranger_matched: NDArray[np.bool_]
    stated_rates: list[float] = field(default_factory=list)
    """How often a search of a stranger ends in a match, by the system's own word at those searches."""
    missed: list[Failure] = field(default_factory=list)
    """People in the gallery who were not found first."""
    attracted: list[Failure] = field(default_factory=list)
    """The strangers who resemble somebody most."""


def run_split(gallery: Gallery, split: Split, advance: Callable[[], None]) -> GalleryRun:
    """Enrol the gallery, then search."""
    # Folders have names that an id may not have.
    keys = {name: f"p{number:06}" for number, (name, _) in enumerate(split.gallery)}
    photo_of = {keys[name]: photo for name, photo in split.gallery}
    for name, photo in split.gallery:
        gallery.enroll(keys[name], photo)
        advance()
    ranks, mates, matched = list[int](), list[float](), list[bool]()
    highest, wrongly, stated = list[float](), list[bool](), list[float]()
    missed, attracted = list[Failure](), list[Failure]()
    for name, photo in split.mated:
        hits = gallery.search(photo, _LIMIT).hits or []
        rank = next((place for place, hit in enumerate(hits, 1) if hit.key == keys[name]), 0)
        ranks.append(rank)
        mates.append(hits[rank - 1].similarity if rank else float("-inf"))
        matched.append(rank == 1 and hits[0].is_match)
        if rank != 1:
            missed.append(_missed(photo, photo_of[keys[name]], hits, rank, photo_of))
        advance()
    for _, photo in split.strangers:
        searched = gallery.search(photo, 1)
        best = searched.hits[0] if searched.hits else None
        highest.append(best.similarity if best else float("-inf"))
        wrongly.append(best is not None and best.is_match)
        if searched.stated_rate is not None:
            stated.append(searched.stated_rate)
        if best is not None:
            found = Picture("found", photo_of[best.key], best.box)
            attracted.append(
                Failure(f"stranger, {best.similarity:.3f}", (Picture("searched", photo), found), best.similarity)
            )
        advance()
    return GalleryRun(
        OpenSet(np.array(ranks, dtype=np.int64), np.array(mates), np.array(highest)),
        [name for name, _ in split.mated],
        [name for name, _ in split.strangers],
        np.array(matched, dtype=bool),
        np.array(wrongly, dtype=bool),
        stated,
        missed,
        worst(attracted),
    )


def _missed(photo: Path, own: Path, hits: list[Hit], rank: int, photo_of: dict[str, Path]) -> Failure:
    """Somebody who was not found first."""
    place = f"at rank {rank}, {hits[rank - 1].similarity:.3f}" if rank else "not among the first"
    if not hits:
        return Failure("nothing found", (Picture("searched", photo), Picture("theirs", own)), float("inf"))
    said = f"somebody else first, {hits[0].similarity:.3f}; they {place}"
    pictures = (
        Picture("searched", photo),
        Picture("found first", photo_of[hits[0].key], hits[0].box),
        Picture("theirs", own),
    )
    return Failure(said, pictures, hits[0].similarity - (hits[rank - 1].similarity if rank else 0))


def describe(runs: Sequence[GalleryRun], calibration: Calibration | None, size: int, *, seed: int) -> dict[str, Any]:
    """The row of one gallery size."""
    together = OpenSet(
        np.concatenate([run.found.ranks for run in runs]),
        np.concatenate([run.found.mate_similarities for run in runs]),
        np.concatenate([run.found.stranger_similarities for run in runs]),
    )
    mates = [name for run in runs for name in run.mates]
    numbers = _numbers([*mates, *(name for run in runs for name in run.strangers)])
    mated, strangers, number = numbers[: len(mates)], numbers[len(mates) :], int(numbers.max()) + 1

    def missed(threshold: float, rank: int = 1) -> dict[str, Any]:
        return rate_of_people(together.misses(threshold, rank), mated, number, seed=seed).as_json()

    def found(threshold: float) -> dict[str, Any]:
        hit = together.stranger_similarities >= threshold
        return rate_of_people(hit, strangers, number, seed=seed).as_json()

    table = []
    for fpir in _FPIRS:
        if fpir * len(together.stranger_similarities) < MIN_RATE_SHARE:
            continue
        # A mate counts with its similarity where it came first, else with none: FNIR is then FNMR at the threshold.
        first = np.where(together.ranks == 1, together.mate_similarities, -np.inf)
        threshold, not_first = missed_at(
            first, together.stranger_similarities, (mated, mated), (strangers, strangers), number, fpir, seed=seed
        )
        table.append({"fpir": fpir, "threshold": threshold, "fnir": not_first.as_json()})
    stated = [rate for run in runs for rate in run.stated_rates]
    row: dict[str, Any] = {
        "draws": len(runs),
        "searches_of_people_inside": len(together.ranks),
        "searches_of_strangers": len(together.stranger_similarities),
        "strangers": len(np.unique(strangers)),
        "rank_1_missed": missed(float("-inf")),
        "cmc": together.cmc(_LIMIT),
        "cmc_missed": [{"rank": rank, "missed": missed(float("-inf"), rank)} for rank in _RANKS],
        "fnir_at_fpir": table,
        "decided": {
            "stated": float(np.mean(stated)) if stated else None,
            "fpir": rate_of_people(
                np.concatenate([run.is_stranger_matched for run in runs]), strangers, number, seed=seed
            ).as_json(),
            "fnir": rate_of_people(
                ~np.concatenate([run.is_mate_matched for run in runs]), mated, number, seed=seed
            ).as_json(),
        },
    }
    if calibration is not None:
        row["stated_false_match_rate"], row["fpir_at_threshold"] = [], []
        for rate in _STATED:
            used = Thresholds.of(calibration, DecisionPolicy(rate, rate), size)
            row["stated_false_match_rate"].append(
                {"stated": rate, "threshold": used.match, "observed": found(used.match), "fnir": missed(used.match)}
            )
        for fmr in _FIXED:
            kept = Thresholds.of(calibration, DecisionPolicy(), size, calibration.similarity_at(fmr))
            row["fpir_at_threshold"].append(
                {"threshold": kept.match, "stated": kept.false_match_rate, "fpir": found(kept.match)}
            )
    return row


def _numbers(names: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
