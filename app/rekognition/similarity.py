"""Convert cosines to the similarity percentages of the protocol.

The percentage is a logistic function of Fisher's z (the inverse hyperbolic tangent) of the cosine. Two points of the
recognizer's calibration fix it: 80 at FMR 1e-3 and 99 at FMR 1e-5. It rises strictly from 0 at -1 to 100 at 1, so it
keeps every order. The native API shows the cosine. Documented in docs/reference/rekognition.md.
"""

import math

from app.domain.decisions import Calibration

_FMR_AT_80, _FMR_AT_99 = 1e-3, 1e-5
_MIN_STEP = 0.02
_MAX_EXPONENT = 700.0
_MIN_PERCENT = 1e-9
_MAX_PERCENT = 99.9999
"""Higher percentages are rounded to 100."""


class SimilarityScale:
    """The percentage scale of one recognizer."""

    def __init__(self, calibration: Calibration) -> None:
        at_80, at_99 = _z(calibration.similarity_at(_FMR_AT_80)), _z(calibration.similarity_at(_FMR_AT_99))
        # Extrapolated far beyond the calibration, both cosines may be 1; the slope must stay finite.
        at_99 = max(at_99, at_80 + _MIN_STEP)
        self._slope = (_logit(99.0) - _logit(80.0)) / (at_99 - at_80)
        self._offset = _logit(80.0) - self._slope * at_80

    def percent(self, cosine: float) -> float:
        """Convert a cosine to percent, 0..100."""
        exponent = -(self._offset + self._slope * _z(cosine))
        value = 100 / (1 + math.exp(min(exponent, _MAX_EXPONENT)))
        return 100.0 if value > _MAX_PERCENT else value

    def cosine(self, percent: float) -> float:
        """Return the smallest cosine of this percentage, -1..1."""
        if percent <= _MIN_PERCENT:
            return -1.0
        return math.tanh((_logit(min(percent, _MAX_PERCENT)) - self._offset) / self._slope)


def _z(cosine: float) -> float:
    return math.atanh(max(-1 + 1e-9, min(1 - 1e-9, cosine)))


def _logit(percent: float) -> float:
    return math.log(percent / (100 - percent))
