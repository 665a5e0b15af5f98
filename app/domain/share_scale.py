"""Convert cosines to shares of 1, for protocols that show similarities between 0 and 1 or in percent.

The share is a logistic function of Fisher's z (the inverse hyperbolic tangent) of the cosine. Two points of a
recognizer's calibration fix it. It rises strictly from 0 at -1 to 1 at 1, so it keeps every order.
"""

import math
from dataclasses import dataclass

from app.domain.decisions import Calibration

_MIN_STEP = 0.02
_MAX_EXPONENT = 700.0


@dataclass(frozen=True, slots=True)
class ScalePoint:
    """The share, between 0 and 1, of the cosine that impostor pairs reach at a false-match rate."""

    share: float
    false_match_rate: float


class ShareScale:
    """The scale of one recognizer through two points, the lower share first."""

    def __init__(self, calibration: Calibration, low: ScalePoint, high: ScalePoint) -> None:
        at_low = _z(calibration.similarity_at(low.false_match_rate))
        at_high = _z(calibration.similarity_at(high.false_match_rate))
        # Extrapolated far beyond the calibration, both cosines may be 1; the slope must stay finite.
        at_high = max(at_high, at_low + _MIN_STEP)
        self._slope = (_logit(high.share) - _logit(low.share)) / (at_high - at_low)
        self._offset = _logit(low.share) - self._slope * at_low

    def share(self, cosine: float) -> float:
        """Convert a cosine to a share, 0..1."""
        exponent = -(self._offset + self._slope * _z(cosine))
        return 1 / (1 + math.exp(min(exponent, _MAX_EXPONENT)))

    def cosine(self, share: float) -> float:
        """Return the cosine of a share between 0 and 1, both excluded."""
        return math.tanh((_logit(share) - self._offset) / self._slope)


def _z(cosine: float) -> float:
    return math.atanh(max(-1 + 1e-9, min(1 - 1e-9, cosine)))


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
