"""Compute the similarity transform that brings a face's landmarks to ArcFace's frame."""

import math

import numpy as np
from numpy.typing import NDArray

from app.ml.pixels import CROP_SIDE

Affine = NDArray[np.float64]
"""A transform A of shape (2, 3), float64: x' = A @ (x, y, 1)."""

# Eyes, nose and mouth corners in the 112x112 frame (InsightFace's utils/face_align.py).
_FRAME = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_CENTER_X, _CENTER_Y = (sum(point[axis] for point in _FRAME) / len(_FRAME) for axis in (0, 1))
_CENTERED_FRAME = tuple((x - _CENTER_X, y - _CENTER_Y) for x, y in _FRAME)

# Scalars rather than arrays: NumPy's calls take longer than this arithmetic.


def estimate_alignment(landmarks: NDArray[np.floating]) -> Affine:
    """Fit the similarity transform from picture to crop to five landmarks, (5, 2) in pixels.

    Least squares in closed form (Umeyama 1991, without reflection). If all landmarks coincide, which a network may
    return, the crop shows the surroundings of that point.
    """
    points = [(float(x), float(y)) for x, y in landmarks.tolist()]
    center_x, center_y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    spread = along = across = 0.0
    for (x, y), (u, v) in zip(points, _CENTERED_FRAME, strict=True):
        dx, dy = x - center_x, y - center_y
        spread += dx * dx + dy * dy
        along += dx * u + dy * v
        across += dx * v - dy * u
    a, b = (along / spread, across / spread) if spread >= 1e-9 else (1.0, 0.0)
    if a * a + b * b < 1e-12:
        a = 1e-6
    shift_x, shift_y = _CENTER_X - a * center_x + b * center_y, _CENTER_Y - b * center_x - a * center_y
    return np.array([[a, -b, shift_x], [b, a, shift_y]])


def get_scale(transform: Affine) -> float:
    """Return the length of a picture's pixel in pixels of the crop."""
    (a, b, _), (c, d, _) = transform.tolist()
    return math.sqrt(abs(a * d - b * c))


def locate_region(transform: Affine, side: int = CROP_SIDE) -> tuple[float, float, float, float]:
    """Return the box `(x1, y1, x2, y2)` of the picture that a crop of `side` pixels shows."""
    (a, b, e), (c, d, f) = invert(transform).tolist()
    xs = (e, e + a * side, e + b * side, e + (a + b) * side)
    ys = (f, f + c * side, f + d * side, f + (c + d) * side)
    return min(xs), min(ys), max(xs), max(ys)


def invert(transform: Affine) -> Affine:
    (a, b, e), (c, d, f) = transform.tolist()
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return np.array([[a, b, -(a * e + b * f)], [c, d, -(c * e + d * f)]])


def compose(outer: Affine, inner: Affine) -> Affine:
    """Return the transform that applies `inner` first, then `outer`."""
    (a, b, e), (c, d, f) = outer.tolist()
    (g, h, k), (i, j, m) = inner.tolist()
    return np.array(
        [[a * g + b * i, a * h + b * j, a * k + b * m + e], [c * g + d * i, c * h + d * j, c * k + d * m + f]]
    )
