"""Whether it is as right about one group of people as about another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import OperatorError
from app.evaluation.datasets import Pair
from app.evaluation.metrics import bootstrap, pair_weights, rate_of_pairs

_Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Comparisons:
    """Comparisons inside one group: which went wrong, and of whom each was, by number."""

    wrong: NDArray[np.bool_]
    first: _Numbers
    second: _Numbers

    def rate(self, drawn: NDArray[np.float64]) -> float:
        """The share that went wrong, people drawn so often."""
        weights = pair_weights(drawn, self.first, self.second)
        return float((weights * self.wrong).sum() / weights.sum()) if weights.sum() else float("nan")


def rates_by_group(
    pairs: Sequence[Pair], similarities: NDArray[np.float64], groups: dict[str, str], threshold: float, *, seed: int
) -> dict[str, Any]:
    """FMR and FNMR of each group at the shared threshold, and the largest ratio between two groups.

    An impostor pair counts for a group where both people are of it. A ratio needs both rates above zero; its interval
    is of the ratio between the very two groups that it is named for, and has no upper end (null) where the lower rate
    may as well be none. Raises as `groups_of`.
    """
    number = {name: index for index, name in enumerate(sorted(groups))}
    of_pair = groups_of(pairs, groups)
    is_same, matched = np.array([pair.is_same for pair in pairs]), similarities >= threshold
    first = np.array([number.get(pair.first_person, -1) for pair in pairs])
    second = np.array([number.get(pair.second_person, -1) for pair in pairs])
    found: dict[str, dict[str, _Comparisons]] = {"fmr": {}, "fnmr": {}}
    for group in sorted({one for one in of_pair if one is not None}):
        inside = np.array([one == group for one in of_pair])
        for name, of_kind in (("fmr", inside & ~is_same), ("fnmr", inside & is_same)):
            if of_kind.any():
                wrong = (matched != is_same)[of_kind]
                found[name][group] = _Comparisons(wrong, first[of_kind], second[of_kind])
    rows: dict[str, dict[str, Any]] = {}
    for name, kind in found.items():
        for group, own in kind.items():
            rate = rate_of_pairs(own.wrong, own.first, own.second, len(number), seed=seed)
            rows.setdefault(group, {"fmr": None, "fnmr": None})[name] = rate.as_json()
    return {
        "threshold": threshold,
        "groups": dict(sorted(rows.items())),
        "largest_ratio": {name: _largest_ratio(kind, len(number), seed) for name, kind in found.items()},
    }


def groups_of(pairs: Sequence[Pair], groups: dict[str, str]) -> list[str | None]:
    """The group of each pair's people, None where they are of two; raises `OperatorError` where that are all."""
    both = [(groups.get(pair.first_person), groups.get(pair.second_person)) for pair in pairs]
    of_pair = [one if one == other else None for one, other in both]
    if not any(of_pair):
        raise OperatorError("--groups: no pair is of two people of one group; are the names those of the pairs?")
    return of_pair


def _largest_ratio(kind: dict[str, _Comparisons], people: int, seed: int) -> dict[str, Any] | None:
    everybody = np.ones(people)
    rates = {group: own.rate(everybody) for group, own in kind.items()}
    known = {group: rate for group, rate in rates.items() if rate > 0}
    if len(known) < 2:
        return None
    most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)

    def share(drawn: NDArray[np.float64]) -> float:
        """Of both rates together: as the ratio goes, and within bounds where people are drawn who show no error."""
        above, below = kind[most].rate(drawn), kind[least].rate(drawn)
        return above / (above + below) if above + below else float("nan")

    low, high = (part / (1 - part) if part < 1 else None for part in bootstrap(share, people, seed=seed))
    return {"between": [most, least], "value": known[most] / known[least], "low": low, "high": high}
