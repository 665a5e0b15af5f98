"""The face brought to ArcFace's frame: which similarity transform takes its landmarks there."""

import numpy as np
from numpy.typing import NDArray

from app.ml.pixels import CROP_SIDE

Affine = NDArray[np.float64]
"""(2, 3): x' = A @ (x, y, 1)."""

# Where eyes, nose and mouth corners lie in the 112x112 frame (InsightFace's utils/face_align.py).
_FRAME = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
_CENTRE = _FRAME.mean(axis=0)
_FRAME_CENTRED = _FRAME - _CENTRE


def estimate_alignment(landmarks: NDArray[np.floating]) -> Affine:
    """The similarity transform from the picture to the crop that fits five landmarks (5, 2) best.

    Least squares in closed form (Umeyama 1991, without reflection). Landmarks in one point, which a network may answer,
    give a crop of that point.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    center = points.mean(axis=0)
    x, y = (points - center).T
    u, v = _FRAME_CENTRED.T
    spread = float((x * x + y * y).sum())
    if spread < 1e-9:
        a, b = 1.0, 0.0
    else:
        a, b = float((x * u + y * v).sum()) / spread, float((x * v - y * u).sum()) / spread
    if a * a + b * b < 1e-12:
        a = 1e-6
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, _CENTRE - linear @ center])


def scale_of(transform: Affine) -> float:
    """How many pixels of the crop one pixel of the picture becomes."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def region_of(transform: Affine, side: int = CROP_SIDE) -> tuple[float, float, float, float]:
    """The box `(x1, y1, x2, y2)` of the picture that the crop shows."""
    inverse = invert(transform)
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]], dtype=np.float64) @ inverse.T
    (x1, y1), (x2, y2) = corners.min(axis=0), corners.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def invert(transform: Affine) -> Affine:
    """The transform back."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def compose(after: Affine, before: Affine) -> Affine:
    """`before`, then `after`."""
    linear = after[:, :2] @ before[:, :2]
    return np.column_stack([linear, after[:, :2] @ before[:, 2] + after[:, 2]])
