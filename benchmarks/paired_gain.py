"""How much better one way of embedding is than another on the very same pairs, with an interval."""

import numpy as np
from numpy.typing import NDArray

from app.evaluation.every_pair import EveryPair
from app.evaluation.metrics import Rate


def accepted_gain(after: EveryPair, before: EveryPair, rate: float, seed: int) -> Rate:
    """The difference in the share of accepted genuine pairs at a false-match rate.

    In each replicate of the interval both ways find their threshold on the people drawn.
    """

    def gain(drawn: NDArray[np.float64]) -> float:
        one, other = (way._accepted(drawn, way._threshold(drawn, rate)) for way in (after, before))
        return one - other

    low, high = after._interval(gain, seed)
    return Rate(gain(np.ones(after._number)), low, high, len(after.genuine))
