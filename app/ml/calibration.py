"""Provide the calibration of a recognizer: measured, scaled to a published figure, or assumed from its threshold."""

from app.domain.decisions import Calibration

_SCRIPT = "benchmarks/stranger_similarities.py"
_LFW = f"measured on 2.2 million pairs of 2,086 people of LFW ({_SCRIPT})"
_MOBILEFACENET = "f7fce14115a97d9a85157ba76d53dc7a39dd2341b4ebdccbcab256aa599bf980"

_MEASURED: dict[str, Calibration] = {
    # InsightFace's small MobileFaceNet in the development pack.
    _MOBILEFACENET: Calibration(
        ((0.1, 0.1265), (0.01, 0.2321), (0.001, 0.3165), (0.0001, 0.3889), (1e-05, 0.4574)),
        _LFW,
        ((0.0986, 0.101), (0.00972, 0.0103), (0.000951, 0.00105), (8.74e-05, 0.000114), (6.23e-06, 1.47e-05)),
    ),
    f"{_MOBILEFACENET}+mirror": Calibration(
        ((0.1, 0.1266), (0.01, 0.2324), (0.001, 0.3172), (0.0001, 0.3896), (1e-05, 0.4588)),
        _LFW,
        ((0.0986, 0.101), (0.00972, 0.0103), (0.000952, 0.00105), (8.75e-05, 0.000114), (6.52e-06, 1.52e-05)),
    ),
}
"""By the SHA-256 of the recognition network's file; `+mirror` marks mirrored embeddings."""

DRAWN = Calibration(
    ((0.1, 0.2714), (0.01, 0.5663), (0.001, 0.7424), (0.0001, 0.8363), (1e-05, 0.8949)),
    f"measured on 1.1 million pairs of 1,500 drawn people ({_SCRIPT})",
    ((0.0971, 0.103), (0.00936, 0.0107), (0.000872, 0.00114), (7.63e-05, 0.00013), (5.18e-06, 1.85e-05)),
)

_PUBLISHED: dict[str, tuple[float, float, str]] = {
    # w600k_r50, of buffalo_l.
    "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43": (3.0e-3, 0.2469, "F1 99.85% on LFW at 0.2469"),
    # w600k_mbf, of buffalo_s and buffalo_sc.
    "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f": (6.4e-3, 0.2314, "F1 99.68% on LFW at 0.2314"),
}
"""By the SHA-256 of the recognition network's file: an upper bound of the false-match rate, its cosine, its source.

Source: the model card of InsightFace's packs for dghs-realutils, on LFW's 3,000 genuine and 3,000 impostor pairs. An F1
leaves 2 * 3,000 * (1 / F1 - 1) errors; counting all of them as false matches gives the upper bound.
"""

_NORMAL_TAIL = ((1e-2, 2.326), (1e-3, 3.090), (1e-4, 3.719), (1e-5, 4.265))
"""False-match rates, with their distance from the mean of a normal distribution in standard deviations."""


def find_calibration(recognition_sha256: str, threshold: float, *, knows_only_drawings: bool) -> Calibration:
    """Return the calibration of a recognizer whose pack contains none.

    An unmeasured recognizer gets the curve of the small MobileFaceNet, scaled to a published figure. Without such a
    figure, impostor cosines are assumed to be normally distributed around 0, with a rate of 1e-5 at `threshold`.
    """
    if knows_only_drawings:
        return DRAWN
    measured = _MEASURED.get(recognition_sha256)
    if measured is not None:
        return measured
    published = _PUBLISHED.get(recognition_sha256)
    if published is not None:
        rate, cosine, figure = published
        reference = _MEASURED[_MOBILEFACENET]
        scale = cosine / reference.similarity_at(rate)
        points = tuple((point_rate, round(scale * point, 4)) for point_rate, point in reference.points)
        return Calibration(points, f"scaled to a published figure ({figure}), not measured")
    deviation = threshold / _NORMAL_TAIL[-1][1]
    points = tuple((rate, round(deviations * deviation, 4)) for rate, deviations in _NORMAL_TAIL)
    return Calibration(points, "assumed from the pack's threshold, not measured")
