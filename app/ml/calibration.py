"""How similar strangers are to one another, by recogniser: measured where it was, else assumed and said so."""

from app.domain import Calibration

_LFW = "measured on 14 million pairs of 2,086 people of LFW (benchmarks/stranger_similarities.py)"

_MEASURED: dict[str, Calibration] = {
    # InsightFace's small MobileFaceNet in the development pack.
    "f7fce14115a97d9a85157ba76d53dc7a39dd2341b4ebdccbcab256aa599bf980": Calibration(
        ((1e-2, 0.2346), (1e-3, 0.3209), (1e-4, 0.3948), (1e-5, 0.4588)),
        _LFW,
    ),
    "f7fce14115a97d9a85157ba76d53dc7a39dd2341b4ebdccbcab256aa599bf980+mirror": Calibration(
        ((1e-2, 0.2349), (1e-3, 0.3213), (1e-4, 0.3956), (1e-5, 0.4595)),
        _LFW,
    ),
}
"""By the SHA-256 of the recognition network's file, with `+mirror` where it looks twice."""

DRAWN = Calibration(
    ((1e-2, 0.569), (1e-3, 0.749), (1e-4, 0.843), (1e-5, 0.910)),
    "measured on 979,000 pairs of 700 drawn people (benchmarks/stranger_similarities.py)",
)

_NORMAL_TAIL = ((1e-2, 2.326), (1e-3, 3.090), (1e-4, 3.719), (1e-5, 4.265))
"""False-match rate and how many standard deviations above the mean it lies in a normal distribution."""


def find_calibration(recognition_sha256: str, threshold: float, *, knows_only_drawings: bool) -> Calibration:
    """The calibration of a recogniser that brings none of its own.

    Without a measured one: strangers' cosines are taken to be normal around 0, and the pack's threshold to lie at a
    false-match rate of 1e-5.
    """
    if knows_only_drawings:
        return DRAWN
    measured = _MEASURED.get(recognition_sha256)
    if measured is not None:
        return measured
    deviation = threshold / _NORMAL_TAIL[-1][1]
    points = tuple((rate, round(deviations * deviation, 4)) for rate, deviations in _NORMAL_TAIL)
    return Calibration(points, "assumed from the pack's threshold, not measured")
