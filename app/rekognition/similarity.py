"""Convert cosines to the similarity percentages of the protocol.

Two points of the recognizer's calibration fix the scale: 80 at FMR 1e-3 and 99 at FMR 1e-5. It rises strictly from 0
at -1 to 100 at 1, so it keeps every order. The native API shows the cosine. Documented in
docs/reference/rekognition.md.
"""

from app.domain.decisions import Calibration
from app.domain.share_scale import ScalePoint, ShareScale

_AT_80, _AT_99 = ScalePoint(0.80, 1e-3), ScalePoint(0.99, 1e-5)
_MIN_PERCENT = 1e-9
_MAX_PERCENT = 99.9999
"""Higher percentages are rounded to 100."""


class SimilarityScale:
    """The percentage scale of one recognizer."""

    def __init__(self, calibration: Calibration) -> None:
        self._scale = ShareScale(calibration, _AT_80, _AT_99)

    def percent(self, cosine: float) -> float:
        """Convert a cosine to percent, 0..100."""
        value = 100 * self._scale.share(cosine)
        return 100.0 if value > _MAX_PERCENT else value

    def cosine(self, percent: float) -> float:
        """Return the smallest cosine of this percentage, -1..1."""
        if percent <= _MIN_PERCENT:
            return -1.0
        return self._scale.cosine(min(percent, _MAX_PERCENT) / 100)
