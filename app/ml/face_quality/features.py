"""Measure an aligned crop on a grid: light, sharpness in both directions, saturation, symmetry, lost highlights.

The grid keeps local damage visible that an average hides: covered eyes, a mask, a face cut in half, motion blur.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from app.ml.pixels import Crop

GRID = 7
LEVELS = 32
FEATURES = 7 * GRID * GRID + 3 * GRID * (GRID // 2) + 2 + LEVELS
"""Numbers per crop: seven grids, three half grids of left-right differences, mean and spread of light, histogram."""

_FACE = (slice(24, 108), slice(20, 92))
"""Rows and columns of the crop without most of hair and background."""

_WHITE_FROM, _BLACK_TO = 250, 8
"""A pixel whose brightest channel is at least or at most this has lost its detail."""

_MIN_SPREAD = 8.0
"""Gray levels added to the spread, so that an even surface does not divide by zero."""


def measure_crop(crop: Crop) -> NDArray[np.float32]:
    """Measure a (112, 112, 3) BGR uint8 crop; returns (FEATURES,) float32.

    Grids hold the mean of each cell: gray level relative to the crop's own mean and spread, logarithms of the absolute
    horizontal and vertical gradients (Sobel) and of the Laplacian, saturation, and the shares of white and of black
    pixels. Sharpness is not normalized by contrast: normalizing would lift a blurred face above the limit. The
    histogram of gray levels (square roots of the shares) shows what removes levels, such as overexposure.
    """
    gray_levels = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    gray = gray_levels.astype(np.float32)
    _, saturation, brightest = cv2.split(cv2.cvtColor(crop, cv2.COLOR_BGR2HSV))
    white = cv2.threshold(brightest, _WHITE_FROM - 1, 1, cv2.THRESH_BINARY)[1]
    black = cv2.threshold(brightest, _BLACK_TO, 1, cv2.THRESH_BINARY_INV)[1]
    edges = (cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1), cv2.Laplacian(gray, cv2.CV_32F))
    light = _cells(gray)
    horizontal, vertical, detail = np.log1p([_cells(np.abs(edge)) for edge in edges])
    mean, spread = light.mean(), light.std() + _MIN_SPREAD
    relative = (light - mean) / spread
    face = np.ascontiguousarray(gray_levels[_FACE])
    histogram = np.sqrt(cv2.calcHist([face], [0], None, [LEVELS], [0, 256]).ravel() / face.size)
    shares = (_cells(levels.astype(np.float32)) for levels in (saturation, white, black))
    grids = (relative, horizontal, vertical, detail, *shares)
    differences = (_asymmetry(grid) for grid in (relative, horizontal, vertical))
    light_and_levels = (np.array([mean, spread]), histogram)
    return np.concatenate([*(grid.ravel() for grid in grids), *differences, *light_and_levels], dtype=np.float32)


def _cells(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each cell of the grid; (GRID, GRID)."""
    return np.asarray(cv2.resize(picture, (GRID, GRID), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _asymmetry(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much the left half differs from the mirrored right half."""
    return np.asarray(np.abs(grid - grid[:, ::-1])[:, : GRID // 2].ravel(), dtype=np.float32)
