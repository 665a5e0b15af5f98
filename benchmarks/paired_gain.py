"""Compare two configurations on the same pairs: the difference of their accept rates, with an interval."""

import numpy as np
from numpy.typing import NDArray

from app.evaluation.all_pairs import AllPairs
from app.evaluation.metrics import Rate


def accepted_gain(after: AllPairs, before: AllPairs, rate: float, seed: int) -> Rate:
    """Return the difference in the share of accepted genuine pairs at a false match rate.

    In each bootstrap replicate, both configurations find their threshold on the people drawn.
    """

    def gain(drawn: NDArray[np.float64]) -> float:
        one, other = (way._accepted(drawn, way._threshold(drawn, rate)) for way in (after, before))
        return one - other

    low, high = after._interval(gain, seed)
    return Rate(gain(np.ones(after._number)), low, high, len(after.genuine))
