"""Convert cosines to the similarities of the protocol, between 0 and 1.

Two points of the recognizer's calibration fix the scale: 0.5 at FMR 1e-3 and 0.95 at FMR 1e-5. It rises strictly, so it
keeps every order. CompreFace recommends 0.5 as a threshold. Its networks are others, so thresholds must be chosen
again: docs/reference/compreface.md.
"""

from collections.abc import Mapping

from app.domain.decisions import Calibration
from app.domain.share_scale import ScalePoint, ShareScale

SimilarityScales = Mapping[str, ShareScale]
"""Scales by recognizer."""

_LOW, _HIGH = ScalePoint(0.5, 1e-3), ScalePoint(0.95, 1e-5)
_DECIMALS = 5


def build_scales(calibrations: Mapping[str, Calibration]) -> SimilarityScales:
    """Derive the scales from the calibrations of the loaded recognizers."""
    return {name: ShareScale(calibration, _LOW, _HIGH) for name, calibration in calibrations.items()}


def show_similarity(scale: ShareScale, cosine: float | None) -> float:
    """Return the similarity of a cosine; 0 for None: a face of too low quality resembles nobody."""
    return 0.0 if cosine is None else round(scale.share(cosine), _DECIMALS)
