"""Embeddings rounded to 8 bits: inner products in an eighth of the time, with a bound on their error."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import simsimd
from numpy.typing import NDArray

from app.domain.faces import Embedding

_MAX_VALUE = 127
_ARITHMETIC_ERROR = 1e-5
"""What sums in single precision add to the error."""


@dataclass(frozen=True, slots=True)
class RoundedEmbeddings:
    """Multiples of `step`: `values` (n, 512) int8.

    No embedding is longer than `max_length`, and no rounding error than `max_error`.
    """

    values: NDArray[np.int8]
    step: float
    max_error: float
    max_length: float

    @classmethod
    def of(cls, embeddings: NDArray[np.floating]) -> Self:
        """Round embeddings (n, 512)."""
        largest = float(np.abs(embeddings).max(initial=0.0))
        step = largest / _MAX_VALUE if largest > 0 else 1.0
        scaled = embeddings.astype(np.float32) / np.float32(step)
        values = np.rint(scaled).astype(np.int8)
        errors = np.linalg.norm(scaled - values, axis=1).max(initial=0.0) * step
        lengths = np.linalg.norm(scaled, axis=1).max(initial=0.0) * step
        return cls(values, step, float(errors), float(lengths))

    def multiply(self, probe: Embedding) -> tuple[NDArray[np.float32], float]:
        """Return the approximate inner products with a probe (512,), (n,), and how far any may be off."""
        rounded = RoundedEmbeddings.of(probe[None])
        products = np.asarray(simsimd.cdist(rounded.values, self.values, "dot"))[0]
        error = rounded.max_length * self.max_error + rounded.max_error * (self.max_length + self.max_error)
        return (products * (self.step * rounded.step)).astype(np.float32), error + _ARITHMETIC_ERROR


def multiply_halves(embeddings: NDArray[np.float16], probe: Embedding) -> NDArray[np.float32]:
    """Return the inner products (n,) of embeddings (n, 512) with a probe (512,), both in half precision."""
    halves = probe.astype(np.float16)[None]
    products: NDArray[np.float32] = np.asarray(simsimd.cdist(halves, embeddings, "dot"), dtype=np.float32)[0]
    return products
