"""1:N identification: searches of galleries of several sizes, for enrolled people (mated) and for strangers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import Calibration, DecisionPolicy
from app.errors import OperatorError
from app.evaluation.datasets import Person, Split, draws_to_leave_out_everyone, split_open_set
from app.evaluation.failures import Failure, Picture, worst
from app.evaluation.metrics import OpenSet, fnmr_at_fmr, rate_of_people
from app.evaluation.systems.photos import digest_of
from app.evaluation.systems.protocol import Gallery, Hit, System
from app.evaluation.verification import MIN_EXPECTED_ERRORS
from app.matcher.thresholds import Thresholds

_LIMIT = 20
_FPIRS = (1e-1, 1e-2)
_STATED_RATES = (1e-1, 5e-2, 1e-2)
"""False-match rates of a search whose thresholds are compared with the observed rate."""
_FIXED_FMRS = (1e-3, 1e-4, 1e-5)
"""False-match rates of one comparison whose thresholds are used for every gallery size."""
_RANKS = (1, 2, 5, 10, 20)
_MAX_DRAWS = 30


@dataclass(frozen=True, slots=True)
class GalleryPlan:
    """The galleries of one size, with the searches of each."""

    size: int
    splits: list[Split]

    @property
    def steps(self) -> int:
        """The number of photos to enroll and to search."""
        return sum(split.steps for split in self.splits)


def plan_galleries(
    people: Sequence[Person], sizes: Sequence[int], *, seed: int, searches: int, repeats: int, is_cheap: bool
) -> list[GalleryPlan]:
    """Draw `repeats` galleries of each size; with `is_cheap`, up to 30, until everyone was left out once.

    A gallery of nearly all people leaves few strangers at a time, and rare errors show only on many strangers. Each
    repeat has at most `searches` mated searches and as many of strangers. Raises `OperatorError` if there is nobody to
    search.
    """
    plans = []
    for size in sizes:
        draws = max(repeats, min(_MAX_DRAWS, draws_to_leave_out_everyone(len(people), size))) if is_cheap else repeats
        per_draw = -(-searches * repeats // draws)
        splits = [split_open_set(list(people), size, seed=seed, searches=per_draw, draw=draw) for draw in range(draws)]
        if not any(split.mated for split in splits) or not any(split.strangers for split in splits):
            raise OperatorError(
                f"A gallery of {size} leaves nobody to search; at least one person with two photos is needed, and one "
                f"more person than the gallery has."
            )
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
    """Return one row per gallery size, and the worst failures.

    A row has rank-1, CMC, FNIR at fixed FPIR and the system's own decisions. With a calibration it also has stated
    against observed false-match rates, and FPIR at fixed thresholds. The searches of all draws are counted together.
    """
    rows, missed, attracted = [], list[Failure](), list[Failure]()
    for plan in plans:
        runs = []
        for draw, split in enumerate(plan.splits):
            digest = digest_of([*split.gallery, *split.mated, *split.strangers])
            with system.gallery(f"of {plan.size} people, draw {draw}, {digest}") as gallery:
                runs.append(run_split(gallery, split, advance))
        rows.append({"gallery": plan.size, **describe(runs, calibration, plan.size, seed=seed)})
        missed += [failure for run in runs for failure in run.missed]
        attracted += [failure for run in runs for failure in run.attracted]
    return rows, [*worst(missed), *worst(attracted)]


@dataclass(frozen=True, slots=True)
class GalleryRun:
    """Results of the searches of one gallery: n mated ones and m of strangers, each in their order."""

    found: OpenSet
    mates: list[str]
    """The person of each mated search."""
    strangers: list[str]
    """The person of each search of a stranger."""
    is_mate_matched: NDArray[np.bool_]
    """(n,): whether the system decided that the right person is a match, and ranked them first."""
    is_stranger_matched: NDArray[np.bool_]
    """(m,): whether the system decided that the best candidate is a match."""
    stated_rates: list[float] = field(default_factory=list)
    """The false-match rate that the system stated with each search of a stranger."""
    missed: list[Failure] = field(default_factory=list)
    """Enrolled people who were not ranked first."""
    attracted: list[Failure] = field(default_factory=list)
    """The strangers with the most similar candidates."""


@dataclass(slots=True)
class _Searches:
    """Results of one kind of search, collected one by one."""

    ranks: list[int] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)
    is_matched: list[bool] = field(default_factory=list)
    stated_rates: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def run_split(gallery: Gallery, split: Split, advance: Callable[[], None]) -> GalleryRun:
    """Enroll the gallery, then run its searches."""
    # Names of folders may contain characters that a subject id may not.
    keys = {name: f"p{number:06}" for number, (name, _) in enumerate(split.gallery)}
    photo_of = {keys[name]: photo for name, photo in split.gallery}
    for name, photo in split.gallery:
        gallery.enroll(keys[name], photo)
        advance()
    mated, strangers = _Searches(), _Searches()
    for name, photo in split.mated:
        _search_mate(gallery, keys[name], photo, photo_of, mated)
        advance()
    for _, photo in split.strangers:
        _search_stranger(gallery, photo, photo_of, strangers)
        advance()
    return GalleryRun(
        OpenSet(np.array(mated.ranks, dtype=np.int64), np.array(mated.similarities), np.array(strangers.similarities)),
        [name for name, _ in split.mated],
        [name for name, _ in split.strangers],
        np.array(mated.is_matched, dtype=bool),
        np.array(strangers.is_matched, dtype=bool),
        strangers.stated_rates,
        mated.failures,
        worst(strangers.failures),
    )


def _search_mate(gallery: Gallery, key: str, photo: Path, photo_of: dict[str, Path], searches: _Searches) -> None:
    hits = gallery.search(photo, _LIMIT).hits or []
    rank = next((number for number, hit in enumerate(hits, 1) if hit.key == key), 0)
    searches.ranks.append(rank)
    searches.similarities.append(hits[rank - 1].similarity if rank else float("-inf"))
    searches.is_matched.append(rank == 1 and hits[0].is_match)
    if rank != 1:
        searches.failures.append(_missed(photo, photo_of[key], hits, rank, photo_of))


def _search_stranger(gallery: Gallery, photo: Path, photo_of: dict[str, Path], searches: _Searches) -> None:
    searched = gallery.search(photo, 1)
    best = searched.hits[0] if searched.hits else None
    searches.similarities.append(best.similarity if best else float("-inf"))
    searches.is_matched.append(best is not None and best.is_match)
    if searched.stated_rate is not None:
        searches.stated_rates.append(searched.stated_rate)
    if best is not None:
        pictures = (Picture("searched", photo), Picture("found", photo_of[best.key], best.box))
        searches.failures.append(Failure(f"stranger, {best.similarity:.3f}", pictures, best.similarity))


def _missed(photo: Path, enrolled: Path, hits: list[Hit], rank: int, photo_of: dict[str, Path]) -> Failure:
    """Describe a mated search that did not rank the enrolled photo's person first."""
    if not hits:
        return Failure("nothing found", (Picture("searched", photo), Picture("enrolled", enrolled)), float("inf"))
    found = f"found at rank {rank}, {hits[rank - 1].similarity:.3f}" if rank else f"not found in the first {_LIMIT}"
    description = f"another person first, {hits[0].similarity:.3f}; enrolled person {found}"
    pictures = (
        Picture("searched", photo),
        Picture("found first", photo_of[hits[0].key], hits[0].box),
        Picture("enrolled", enrolled),
    )
    return Failure(description, pictures, hits[0].similarity - (hits[rank - 1].similarity if rank else 0))


def describe(runs: Sequence[GalleryRun], calibration: Calibration | None, size: int, *, seed: int) -> dict[str, Any]:
    """Return the row of one gallery size in a report."""
    searches = _AllSearches.from_runs(runs, seed)
    row: dict[str, Any] = {
        "draws": len(runs),
        "searches_of_people_inside": len(searches.found.ranks),
        "searches_of_strangers": len(searches.found.stranger_similarities),
        "strangers": len(np.unique(searches.strangers)),
        "rank_1_missed": searches.missed(float("-inf")),
        "cmc": searches.found.cmc(_LIMIT),
        "cmc_missed": [{"rank": rank, "missed": searches.missed(float("-inf"), rank)} for rank in _RANKS],
        "fnir_at_fpir": searches.fnir_at_fpir(),
        "decided": searches.decided(runs),
    }
    if calibration is not None:
        row["stated_false_match_rate"] = searches.stated_and_observed(calibration, size)
        row["fpir_at_threshold"] = searches.fpir_at_fixed_thresholds(calibration, size)
    return row


@dataclass(frozen=True, slots=True)
class _AllSearches:
    """The searches of all draws of one gallery size, with each searched person as a number."""

    found: OpenSet
    mated: NDArray[np.int64]
    strangers: NDArray[np.int64]
    people: int
    seed: int

    @classmethod
    def from_runs(cls, runs: Sequence[GalleryRun], seed: int) -> "_AllSearches":
        found = OpenSet(
            np.concatenate([run.found.ranks for run in runs]),
            np.concatenate([run.found.mate_similarities for run in runs]),
            np.concatenate([run.found.stranger_similarities for run in runs]),
        )
        mates = [name for run in runs for name in run.mates]
        strangers = [name for run in runs for name in run.strangers]
        numbers = np.unique([*mates, *strangers], return_inverse=True)[1].astype(np.int64)
        return cls(found, numbers[: len(mates)], numbers[len(mates) :], int(numbers.max()) + 1, seed)

    def missed(self, threshold: float, rank: int = 1) -> dict[str, Any]:
        """Return the FNIR at a threshold and rank, with its interval."""
        return self._rate(self.found.misses(threshold, rank), self.mated)

    def false_positives(self, threshold: float) -> dict[str, Any]:
        """Return the FPIR at a threshold, with its interval."""
        return self._rate(self.found.stranger_similarities >= threshold, self.strangers)

    def fnir_at_fpir(self) -> list[dict[str, Any]]:
        """Return threshold and FNIR at each fixed FPIR for which there are enough strangers."""
        table = []
        for fpir in _FPIRS:
            if fpir * len(self.found.stranger_similarities) < MIN_EXPECTED_ERRORS:
                continue
            # With -inf for mates that are not ranked first, FNIR equals FNMR at the threshold.
            first = np.where(self.found.ranks == 1, self.found.mate_similarities, -np.inf)
            threshold, fnir = fnmr_at_fmr(
                first,
                self.found.stranger_similarities,
                (self.mated, self.mated),
                (self.strangers, self.strangers),
                self.people,
                fpir,
                seed=self.seed,
            )
            table.append({"fpir": fpir, "threshold": threshold, "fnir": fnir.as_json()})
        return table

    def decided(self, runs: Sequence[GalleryRun]) -> dict[str, Any]:
        """Return the stated false-match rate, and FPIR and FNIR of the system's own decisions."""
        stated = [rate for run in runs for rate in run.stated_rates]
        return {
            "stated": float(np.mean(stated)) if stated else None,
            "fpir": self._rate(np.concatenate([run.is_stranger_matched for run in runs]), self.strangers),
            "fnir": self._rate(~np.concatenate([run.is_mate_matched for run in runs]), self.mated),
        }

    def stated_and_observed(self, calibration: Calibration, size: int) -> list[dict[str, Any]]:
        """Return, for each stated false-match rate, its threshold with the observed FPIR and FNIR."""
        table = []
        for rate in _STATED_RATES:
            match = Thresholds.from_policy(calibration, DecisionPolicy(rate, rate), size).match
            table.append(
                {
                    "stated": rate,
                    "threshold": match,
                    "observed": self.false_positives(match),
                    "fnir": self.missed(match),
                }
            )
        return table

    def fpir_at_fixed_thresholds(self, calibration: Calibration, size: int) -> list[dict[str, Any]]:
        """Return stated and observed FPIR at thresholds that do not follow the gallery's size."""
        table = []
        for fmr in _FIXED_FMRS:
            fixed = Thresholds.from_policy(calibration, DecisionPolicy(), size, calibration.similarity_at(fmr))
            table.append(
                {
                    "threshold": fixed.match,
                    "stated": fixed.false_match_rate,
                    "fpir": self.false_positives(fixed.match),
                }
            )
        return table

    def _rate(self, wrong: NDArray[np.bool_], person: NDArray[np.int64]) -> dict[str, Any]:
        return rate_of_people(wrong, person, self.people, seed=self.seed).as_json()
