"""Compares all pairs of many photos without storing them all: counts by similarity, and the highest impostor pairs."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.evaluation.metrics import Rate, bootstrap, pair_weights, weighted_threshold_at, widen_interval
from app.matcher.similarity import compare_all

_BINS = np.linspace(-1.0, 1.0, 2_001)
_TAIL = 0.02
"""Share of the impostor pairs stored one by one: more than any reported rate needs, also for resampled people."""
_MAX_TAIL = 0.2
"""The same if rates at a lower threshold are needed."""
_REPLICATES = 200
_MISSING = -np.inf


class AllPairs:
    """The pairs of n photos: all genuine similarities, histograms, and the most similar impostor pairs.

    `genuine` are the similarities of the genuine pairs, -inf where a face is missing; `impostors` is the number of
    impostor pairs.
    """

    def __init__(
        self,
        embeddings: Sequence[Embedding | None],
        people: NDArray[np.int64],
        number_of_people: int,
        *,
        min_threshold: float = 1.0,
    ) -> None:
        """Compare all photos; an embedding is None if no face was found. `people` (n,) are numbers from 0.

        `min_threshold` is the lowest threshold that `false_match_rate` will be called with.
        """
        self._is_found = np.array([embedding is not None for embedding in embeddings])
        self._stacked = np.stack(
            [np.zeros(512, np.float32) if embedding is None else embedding for embedding in embeddings]
        )
        self._people, self._number = people, number_of_people
        self._photos_of = np.bincount(people, minlength=number_of_people).astype(np.float64)
        self.impostors = int((self._photos_of.sum() ** 2 - (self._photos_of**2).sum()) / 2)
        self._counts = np.zeros((2, len(_BINS) - 1), dtype=np.int64)
        """Histograms of the genuine and the impostor pairs."""
        genuine, owners = [], []
        for similarities, same, row, _ in self._blocks():
            finite = np.isfinite(similarities)
            self._counts[0] += np.histogram(similarities[same & finite], _BINS)[0]
            self._counts[1] += np.histogram(similarities[~same & finite], _BINS)[0]
            genuine.append(similarities[same])
            owners.append(self._people[row[same]])
        self.genuine = np.concatenate(genuine).astype(np.float64)
        self._owners = np.concatenate(owners)
        self._collect_tail(min_threshold)

    def true_accept_rate(self, rate: float, seed: int) -> tuple[float, Rate]:
        """Return the threshold that this share of the impostor pairs reaches, and the share of genuine pairs that does.

        Each bootstrap replicate finds its own threshold for the people drawn.
        """
        everyone = np.ones(self._number)
        threshold = self._threshold(everyone, rate)
        low, high = self._interval(lambda drawn: self._accepted(drawn, self._threshold(drawn, rate)), seed)
        value = self._accepted(everyone, threshold)
        return threshold, widen_interval(Rate(value, low, high, len(self.genuine)), self._number)

    def false_match_rate(self, threshold: float, seed: int) -> Rate:
        """Return the share of the impostor pairs at or above a threshold.

        Below the stored tail the interval is NaN; no calibration is meant for rates that high.
        """
        if threshold < self._tail_from:
            counted = int(self._counts[1][_BINS[:-1] >= threshold].sum())
            return Rate(counted / self.impostors, float("nan"), float("nan"), self.impostors)
        low, high = self._interval(lambda drawn: self._matched(drawn, threshold), seed)
        value = self._matched(np.ones(self._number), threshold)
        return widen_interval(Rate(value, low, high, self.impostors), self._number)

    def curve(self) -> list[tuple[float, float, float]]:
        """Return (threshold, FMR, FNMR) over all thresholds."""
        above = np.cumsum(self._counts[:, ::-1], axis=1)[:, ::-1] / np.array(
            [[max(1, len(self.genuine))], [self.impostors]]
        )
        return [
            (float(_BINS[index]), float(above[1, index]), float(1 - above[0, index]))
            for index in range(0, len(_BINS) - 1, 10)
        ]

    def histogram(self) -> dict[str, list[float]]:
        """Return the number of genuine and of impostor pairs by similarity."""
        coarse = self._counts.reshape(2, -1, 25).sum(axis=2)
        return {"edges": _BINS[::25].tolist(), "genuine": coarse[0].tolist(), "impostors": coarse[1].tolist()}

    def _collect_tail(self, min_threshold: float) -> None:
        """Store the most similar impostor pairs, highest first."""
        above = np.cumsum(self._counts[1][::-1])[::-1]
        usual, lowest = (float(_BINS[int(np.argmax(above <= share * self.impostors))]) for share in (_TAIL, _MAX_TAIL))
        tail_from = self._tail_from = max(lowest, min(usual, min_threshold))
        parts = [
            (similarities[high], self._people[row[high]], self._people[column[high]])
            for similarities, same, row, column in self._blocks()
            for high in [~same & (similarities >= tail_from)]
        ]
        tail, first, second = (np.concatenate([part[index] for part in parts]) for index in range(3))
        order = np.argsort(-tail)
        self._tail, self._first, self._second = tail[order].astype(np.float64), first[order], second[order]

    def _blocks(
        self,
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield blocks of pairs: similarities, whether both photos show one person, and the photos' two indices."""
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
        """Return the number of impostor pairs if each person counts as often as it was drawn; so do those below."""
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
        reached = self._tail >= threshold
        total = self._total(drawn)
        weights = pair_weights(drawn, self._first, self._second)
        return float(weights[reached].sum()) / total if total else float("nan")
