"""Every pair of many photos, without holding them all: counts by similarity, and the few highest of strangers."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.evaluation.metrics import Rate, bootstrap, pair_weights, weighted_threshold_at, widened
from app.matcher.similarity import compare_all

_BINS = np.linspace(-1.0, 1.0, 2_001)
_TAIL = 0.02
"""The share of the impostors that is kept one by one: more than any rate asks for, also of people drawn anew."""
_MAX_KEPT = 0.2
"""The same where a threshold is asked about that lies lower."""
_REPLICATES = 200
_MISSING = -np.inf


class EveryPair:
    """The pairs of n photos; `embeddings` is None where no face was found, `people` (n,) are numbers from 0."""

    def __init__(
        self,
        embeddings: Sequence[Embedding | None],
        people: NDArray[np.int64],
        number_of_people: int,
        *,
        down_to: float = 1.0,
    ) -> None:
        """`down_to`: the lowest threshold that `matched` will be asked for."""
        self._is_found = np.array([one is not None for one in embeddings])
        self._stacked = np.stack([np.zeros(512, np.float32) if one is None else one for one in embeddings])
        self._people, self._number = people, number_of_people
        self._photos_of = np.bincount(people, minlength=number_of_people).astype(np.float64)
        self.impostors = int((self._photos_of.sum() ** 2 - (self._photos_of**2).sum()) / 2)
        self._counts = np.zeros((2, len(_BINS) - 1), dtype=np.int64)
        genuine, owners = [], []
        for similarities, same, row, _ in self._blocks():
            finite = np.isfinite(similarities)
            self._counts[0] += np.histogram(similarities[same & finite], _BINS)[0]
            self._counts[1] += np.histogram(similarities[~same & finite], _BINS)[0]
            genuine.append(similarities[same])
            owners.append(self._people[row[same]])
        self.genuine = np.concatenate(genuine).astype(np.float64)
        self._owners = np.concatenate(owners)
        self._collect_tail(down_to)

    def accepted_at(self, rate: float, seed: int) -> tuple[float, Rate]:
        """The threshold that this share of the impostors reaches, and the share of the genuine pairs that do, too.

        In each replicate of the interval the threshold is found anew for the people drawn.
        """
        ones = np.ones(self._number)
        threshold = self._threshold(ones, rate)
        low, high = self._interval(lambda drawn: self._accepted(drawn, self._threshold(drawn, rate)), seed)
        value = self._accepted(ones, threshold)
        return threshold, widened(Rate(value, low, high, len(self.genuine)), self._number)

    def matched(self, threshold: float, seed: int) -> Rate:
        """The share of the impostors at or above a threshold.

        Without an interval where it lies below those that are kept: so many are not what somebody calibrated for.
        """
        if threshold < self._least:
            counted = int(self._counts[1][_BINS[:-1] >= threshold].sum())
            return Rate(counted / self.impostors, float("nan"), float("nan"), self.impostors)
        low, high = self._interval(lambda drawn: self._matched(drawn, threshold), seed)
        value = self._matched(np.ones(self._number), threshold)
        return widened(Rate(value, low, high, self.impostors), self._number)

    def curve(self) -> list[tuple[float, float, float]]:
        """(threshold, FMR, FNMR)."""
        above = np.cumsum(self._counts[:, ::-1], axis=1)[:, ::-1] / np.array(
            [[max(1, len(self.genuine))], [self.impostors]]
        )
        return [
            (float(_BINS[index]), float(above[1, index]), float(1 - above[0, index]))
            for index in range(0, len(_BINS) - 1, 10)
        ]

    def histogram(self) -> dict[str, list[float]]:
        """How many pairs of either kind have which similarity."""
        coarse = self._counts.reshape(2, -1, 25).sum(axis=2)
        return {"edges": _BINS[::25].tolist(), "genuine": coarse[0].tolist(), "impostors": coarse[1].tolist()}

    def _collect_tail(self, down_to: float) -> None:
        above = np.cumsum(self._counts[1][::-1])[::-1]
        usual, most = (float(_BINS[int(np.argmax(above <= share * self.impostors))]) for share in (_TAIL, _MAX_KEPT))
        least = self._least = max(most, min(usual, down_to))
        parts = [
            (similarities[high], self._people[row[high]], self._people[column[high]])
            for similarities, same, row, column in self._blocks()
            for high in [~same & (similarities >= least)]
        ]
        tail, first, second = (np.concatenate([part[index] for part in parts]) for index in range(3))
        order = np.argsort(-tail)
        self._tail, self._first, self._second = tail[order].astype(np.float64), first[order], second[order]

    def _blocks(
        self,
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]]:
        """Similarities of some pairs, whether both are of one person, and the photos' places."""
        columns = np.arange(len(self._stacked))
        for rows, cosines in compare_all(self._stacked):
            cosines[~(self._is_found[rows][:, None] & self._is_found[None, :])] = _MISSING
            row, column = np.nonzero(rows[:, None] < columns[None, :])
            similarities = cosines[row, column]
            row = rows[row]
            yield similarities, self._people[row] == self._people[column], row, column

    def _interval(self, weighted: Callable[[NDArray[np.float64]], float], seed: int) -> tuple[float, float]:
        return bootstrap(weighted, self._number, seed=seed, replicates=_REPLICATES)

    def _total(self, drawn: NDArray[np.float64]) -> float:
        weighted = drawn * self._photos_of
        return float((weighted.sum() ** 2 - (weighted**2).sum()) / 2)

    def _threshold(self, drawn: NDArray[np.float64], rate: float) -> float:
        weights = pair_weights(drawn, self._first, self._second)
        return weighted_threshold_at(self._tail, weights, self._total(drawn), rate)

    def _accepted(self, drawn: NDArray[np.float64], threshold: float) -> float:
        weights = drawn[self._owners]
        total = float(weights.sum())
        return float((weights * (self.genuine >= threshold)).sum()) / total if total else float("nan")

    def _matched(self, drawn: NDArray[np.float64], threshold: float) -> float:
        hit = self._tail >= threshold
        total = self._total(drawn)
        weights = pair_weights(drawn, self._first, self._second)
        return float(weights[hit].sum()) / total if total else float("nan")
