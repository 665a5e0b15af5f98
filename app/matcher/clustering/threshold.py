"""Pick the threshold of clusters from a recognizer's calibration."""

from app.domain.decisions import Calibration
from app.matcher.clustering.online import MIN_THRESHOLD

FALSE_MATCH_RATE = 2e-5
"""The rate with the highest BCubed F on LFW's 5,373 photos of five folds: benchmarks/clusters.py."""
MAX_FALSE_MATCHES = 0.1
"""How many faces of other people a face may reach: what the rate above means among 5,000 faces."""


def pick_threshold(calibration: Calibration, faces: int = 0) -> float:
    """Return the mean cosine from which faces belong together, within 0.1..1.

    It is the cosine that pairs of different people reach at `FALSE_MATCH_RATE`. Among more than 5,000 expected `faces`,
    the rate falls in proportion, so that each face still reaches `MAX_FALSE_MATCHES` faces of other people.
    """
    rate = min(FALSE_MATCH_RATE, MAX_FALSE_MATCHES / max(1, faces))
    return max(MIN_THRESHOLD, min(1.0, calibration.similarity_at(rate)))
