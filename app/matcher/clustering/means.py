"""The mean embeddings of clusters, and the scan that finds all means near a face.

The linkage of two clusters is the inner product of their means. A scan multiplies 8-bit copies of all means, each with
a scale of its own. It keeps the rows that may reach the threshold within the rounding error, and computes those exactly
from the sums.
"""

import numpy as np
import simsimd
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE
from app.matcher.rounded_embeddings import RoundedEmbeddings

_BLOCK = 16_384
"""Rows per block. Blocks never move: growing copies nothing, and unused pages of a block take no memory."""
_MAX_VALUE = 127
_MAX_LENGTH = 1.1
"""No rounded mean is longer: means of unit vectors have a length of at most 1, and rounding adds at most 0.09."""
_ARITHMETIC_ERROR = 1e-5
_MIN_REACH = 1e-6

Vector = NDArray[np.float32]
"""(512,)"""
Rows = NDArray[np.int64]


class _Block:
    def __init__(self) -> None:
        self.sums = np.zeros((_BLOCK, EMBEDDING_SIZE), np.float32)
        self.counts = np.ones(_BLOCK, np.float32)
        self.values = np.zeros((_BLOCK, EMBEDDING_SIZE), np.int8)
        self.inverse_steps = np.full(_BLOCK, np.inf, np.float32)
        """Infinite for free rows: nothing reaches them."""
        self.max_error = 0.0
        """The largest rounding error of a row, in steps of that row."""


class ClusterMeans:
    """Sums (512,) and counts in numbered rows; the rows of removed clusters are reused."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._used = 0
        self._free: list[int] = []

    def add(self, total: Vector, count: int) -> int:
        """Store a sum and its count, and return the row."""
        if self._free:
            row = self._free.pop()
        else:
            row = self._used
            self._used += 1
            if row // _BLOCK == len(self._blocks):
                self._blocks.append(_Block())
        self.write(row, total, count)
        return row

    def write(self, row: int, total: Vector, count: int) -> None:
        """Replace the sum and the count of a row."""
        block, index = self._blocks[row // _BLOCK], row % _BLOCK
        block.sums[index] = total
        block.counts[index] = count
        mean = block.sums[index] / np.float32(count)
        step = float(np.abs(mean).max()) / _MAX_VALUE
        if step <= 0:  # opposite faces cancel out
            block.values[index], block.inverse_steps[index] = 0, np.inf
            return
        scaled = mean / np.float32(step)
        rounded = np.rint(scaled)
        block.values[index] = rounded
        block.inverse_steps[index] = 1 / step
        block.max_error = max(block.max_error, float(np.linalg.norm(scaled - rounded)))

    def remove(self, row: int) -> None:
        """Erase a row."""
        block, index = self._blocks[row // _BLOCK], row % _BLOCK
        block.sums[index], block.values[index] = 0, 0
        block.inverse_steps[index] = np.inf
        self._free.append(row)

    def get_sum(self, row: int) -> Vector:
        """Return a copy of a row's sum."""
        total: Vector = self._blocks[row // _BLOCK].sums[row % _BLOCK].copy()
        return total

    def get_mean(self, row: int) -> Vector:
        """Return a row's mean."""
        block, index = self._blocks[row // _BLOCK], row % _BLOCK
        mean: Vector = block.sums[index] / block.counts[index]
        return mean

    def multiply(self, rows: Rows, vector: Vector) -> NDArray[np.float32]:
        """Return the inner products (n,) of these rows' means with a vector (512,)."""
        products = np.empty(len(rows), np.float32)
        blocks, indexes = np.divmod(rows, _BLOCK)
        for number in np.unique(blocks):
            block, chosen = self._blocks[number], blocks == number
            products[chosen] = block.sums[indexes[chosen]] @ vector / block.counts[indexes[chosen]]
        return products

    def find(self, vector: Vector, threshold: float) -> tuple[Rows, NDArray[np.float32]]:
        """Return the rows whose means have an inner product of at least `threshold` with a vector, and the products.

        The vector has a length of at most 1. Best first; rows with equal products by number.
        """
        probe = RoundedEmbeddings.of(vector[None])
        reach = max(threshold - probe.max_error * _MAX_LENGTH - _ARITHMETIC_ERROR, _MIN_REACH)
        found: list[Rows] = []
        for number, block in enumerate(self._blocks):
            used = min(_BLOCK, self._used - number * _BLOCK)
            products = np.asarray(simsimd.cdist(probe.values, block.values[:used], "dot", out_dtype="float32"))[0]
            needed = block.inverse_steps[:used] * np.float32(reach / probe.step)
            needed -= np.float32(probe.max_length * block.max_error / probe.step)
            found.append(np.flatnonzero(products >= needed) + number * _BLOCK)
        rows = np.concatenate(found) if found else np.zeros(0, np.int64)
        products = self.multiply(rows, vector)
        order = np.argsort(-products, kind="stable")
        order = order[products[order] >= threshold]
        return rows[order], products[order]
