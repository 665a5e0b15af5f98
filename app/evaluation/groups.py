"""Error rates by group of people, and how much they differ between groups."""

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
    """Comparisons within one group: which were decided wrongly, and the number of the person in each photo."""

    wrong: NDArray[np.bool_]
    first: _Numbers
    second: _Numbers

    def rate(self, drawn: NDArray[np.float64]) -> float:
        """Return the share decided wrongly if each person counts as often as it was drawn; NaN without any."""
        weights = pair_weights(drawn, self.first, self.second)
        return float((weights * self.wrong).sum() / weights.sum()) if weights.sum() else float("nan")


def rates_by_group(
    pairs: Sequence[Pair], similarities: NDArray[np.float64], groups: dict[str, str], threshold: float, *, seed: int
) -> dict[str, Any]:
    """Return FMR and FNMR of each group at one threshold, and the largest ratio between two groups.

    `groups` is each person's group. An impostor pair counts if both people belong to one group. A ratio needs two rates
    above zero. Its interval is that of the ratio between the two groups named, with no upper end (null) if the lower
    rate may be zero. Raises `OperatorError` like `groups_of`.
    """
    number = {name: index for index, name in enumerate(sorted(groups))}
    found = _compare_within_groups(pairs, similarities >= threshold, groups_of(pairs, groups), number)
    rows: dict[str, dict[str, Any]] = {}
    for name, by_group in found.items():
        for group, compared in by_group.items():
            rate = rate_of_pairs(compared.wrong, compared.first, compared.second, len(number), seed=seed)
            rows.setdefault(group, {"fmr": None, "fnmr": None})[name] = rate.as_json()
    return {
        "threshold": threshold,
        "groups": dict(sorted(rows.items())),
        "largest_ratio": {name: _largest_ratio(by_group, len(number), seed) for name, by_group in found.items()},
    }


def _compare_within_groups(
    pairs: Sequence[Pair], matched: NDArray[np.bool_], group_of_pair: list[str | None], number: dict[str, int]
) -> dict[str, dict[str, _Comparisons]]:
    """Return the impostor pairs ("fmr") and the genuine pairs ("fnmr") of each group."""
    is_same = np.array([pair.is_same for pair in pairs])
    first = np.array([number.get(pair.first_person, -1) for pair in pairs])
    second = np.array([number.get(pair.second_person, -1) for pair in pairs])
    found: dict[str, dict[str, _Comparisons]] = {"fmr": {}, "fnmr": {}}
    for group in sorted({group for group in group_of_pair if group is not None}):
        inside = np.array([other == group for other in group_of_pair])
        for name, selected in (("fmr", inside & ~is_same), ("fnmr", inside & is_same)):
            if selected.any():
                wrong = (matched != is_same)[selected]
                found[name][group] = _Comparisons(wrong, first[selected], second[selected])
    return found


def groups_of(pairs: Sequence[Pair], groups: dict[str, str]) -> list[str | None]:
    """Return the group of each pair, None if its people belong to different groups or to none.

    Raises `OperatorError` if no pair belongs to a group.
    """
    both = [(groups.get(pair.first_person), groups.get(pair.second_person)) for pair in pairs]
    found = [first if first == second else None for first, second in both]
    if not any(found):
        raise OperatorError(
            "--groups: in no pair do both people belong to one group; use the names of people as in the pairs file."
        )
    return found


def _largest_ratio(by_group: dict[str, _Comparisons], people: int, seed: int) -> dict[str, Any] | None:
    everyone = np.ones(people)
    rates = {group: compared.rate(everyone) for group, compared in by_group.items()}
    above_zero = {group: rate for group, rate in rates.items() if rate > 0}
    if len(above_zero) < 2:
        return None
    highest, lowest = max(above_zero, key=above_zero.__getitem__), min(above_zero, key=above_zero.__getitem__)

    def share(drawn: NDArray[np.float64]) -> float:
        """The higher rate as a share of both: monotonic in the ratio, but bounded if the lower rate is zero."""
        high, low = by_group[highest].rate(drawn), by_group[lowest].rate(drawn)
        return high / (high + low) if high + low else float("nan")

    low, high = (part / (1 - part) if part < 1 else None for part in bootstrap(share, people, seed=seed))
    return {
        "between": [highest, lowest],
        "value": above_zero[highest] / above_zero[lowest],
        "low": low,
        "high": high,
    }
