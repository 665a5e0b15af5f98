"""Cosines as the percentages that AWS's clients know.

A logistic curve over Fisher's z (the inverse hyperbolic tangent) of the cosine, through two points of the recognizer's
calibration: 80 where strangers are taken for one person once in a thousand comparisons, 99 where once in a hundred
thousand. It goes from 0 at -1 to 100 at 1 and rises everywhere, so it changes no order; the cosine itself is in the
native API. Documented in docs/rekognition.md.
"""

import math

from app.domain.decisions import Calibration

_AT_80, _AT_99 = 1e-3, 1e-5
_MIN_STEP = 0.02
_MAX_EXPONENT = 700.0
_LOWEST = 1e-9
_HIGHEST = 99.9999
"""More than this is shown as 100."""


class SimilarityScale:
    """Percentages for one recognizer."""

    def __init__(self, calibration: Calibration) -> None:
        at_80, at_99 = _z(calibration.similarity_at(_AT_80)), _z(calibration.similarity_at(_AT_99))
        # Extrapolated from points far below, both may lie at the end of what cosines can be.
        at_99 = max(at_99, at_80 + _MIN_STEP)
        self._slope = (_logit(99.0) - _logit(80.0)) / (at_99 - at_80)
        self._offset = _logit(80.0) - self._slope * at_80

    def percent(self, cosine: float) -> float:
        """0..100."""
        exponent = -(self._offset + self._slope * _z(cosine))
        value = 100 / (1 + math.exp(min(exponent, _MAX_EXPONENT)))
        return 100.0 if value > _HIGHEST else value

    def cosine(self, percent: float) -> float:
        """The least cosine that has this percentage, -1..1."""
        if percent <= _LOWEST:
            return -1.0
        return math.tanh((_logit(min(percent, _HIGHEST)) - self._offset) / self._slope)


def _z(cosine: float) -> float:
    return math.atanh(max(-1 + 1e-9, min(1 - 1e-9, cosine)))


def _logit(percent: float) -> float:
    return math.log(percent / (100 - percent))
