"""Compute the similarity transform that brings a face's landmarks to ArcFace's frame."""

import numpy as np
from numpy.typing import NDArray

from app.ml.pixels import CROP_SIDE

Affine = NDArray[np.float64]
"""A transform A of shape (2, 3), float64: x' = A @ (x, y, 1)."""

# Eyes, nose and mouth corners in the 112x112 frame (InsightFace's utils/face_align.py).
_FRAME = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
_CENTER = _FRAME.mean(axis=0)
_CENTERED_FRAME = _FRAME - _CENTER


def estimate_alignment(landmarks: NDArray[np.floating]) -> Affine:
    """Fit the similarity transform from picture to crop to five landmarks, (5, 2) in pixels.

    Least squares in closed form (Umeyama 1991, without reflection). If all landmarks coincide, which a network may
    return, the crop shows the surroundings of that point.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    center = points.mean(axis=0)
    x, y = (points - center).T
    u, v = _CENTERED_FRAME.T
    spread = float((x * x + y * y).sum())
    if spread < 1e-9:
        a, b = 1.0, 0.0
    else:
        a, b = float((x * u + y * v).sum()) / spread, float((x * v - y * u).sum()) / spread
    if a * a + b * b < 1e-12:
        a = 1e-6
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, _CENTER - linear @ center])


def get_scale(transform: Affine) -> float:
    """Return the length of a picture's pixel in pixels of the crop."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def locate_region(transform: Affine, side: int = CROP_SIDE) -> tuple[float, float, float, float]:
    """Return the box `(x1, y1, x2, y2)` of the picture that a crop of `side` pixels shows."""
    inverse = invert(transform)
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]], dtype=np.float64) @ inverse.T
    (x1, y1), (x2, y2) = corners.min(axis=0), corners.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def invert(transform: Affine) -> Affine:
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def compose(outer: Affine, inner: Affine) -> Affine:
    """Return the transform that applies `inner` first, then `outer`."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])
