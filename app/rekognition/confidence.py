"""Convert detection scores to the protocol's `Confidence`: the probability in percent that a detection is a face.

A logistic function of the score's logit, fitted to detections on pictures of faces and on as many pictures of nobody
(`benchmarks/detection_confidence.py`). It rises strictly, so it keeps every order. The native API shows the score.
"""

import math

_OFFSET, _SLOPE = 3.253, 4.47
_MIN_SCORE = 1e-6


def confidence(detection_score: float) -> float:
    """Convert a detection score, 0..1, to percent, 0..100."""
    score = min(1 - _MIN_SCORE, max(_MIN_SCORE, detection_score))
    return 100 / (1 + math.exp(-(_OFFSET + _SLOPE * math.log(score / (1 - score)))))
