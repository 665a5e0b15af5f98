"""Render any part of a photo at any size, decoding it no finer than necessary.

A `PixelSource` provides pixels in their stored orientation; `Photo` applies the EXIF orientation. Only the requested
part is rotated or copied, never the whole picture.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from app.ml.alignment import Affine, compose, get_scale, invert, locate_region
from app.ml.pixel_sources import LEVELS, PixelSource
from app.ml.pixels import Box, Pixels

_MIN_RESOLUTION_SHARE = 0.9
"""A level with this share of the requested resolution suffices: a tenth is less than a face's own blur."""


class Photo:
    """An upright picture; coordinates are pixels at full resolution, from its top left corner.

    `orientation` is the EXIF orientation, 1..8; other values count as 1.
    """

    def __init__(self, source: PixelSource, orientation: int = 1) -> None:
        self._source = source
        self._orientation = orientation if orientation in _UPRIGHT else 1
        is_transposed = self._orientation >= 5
        self.width = source.height if is_transposed else source.width
        self.height = source.width if is_transposed else source.height

    def turn(self, degrees: int) -> "Photo":
        """Return the same picture turned clockwise by 90, 180 or 270 degrees; nothing is decoded or copied."""
        orientation = self._orientation
        for _ in range(degrees // 90):
            orientation = _TURNED_CLOCKWISE[orientation]
        return Photo(self._source, orientation)

    def render(self, box: Box, width: int, height: int) -> Pixels:
        """Render a part of the picture at `width` x `height` pixels: (height, width, 3), uint8, BGR.

        Raises `ImageTruncated`.
        """
        x1, y1, x2, y2 = box
        level = max(_choose_level(max(width / (x2 - x1), height / (y2 - y1))), self._source.finest)
        (a, b, e), (c, d, f) = self._to_stored(edges=True, level=level).tolist()
        left, right = sorted((round(a * x1 + b * y1 + e), round(a * x2 + b * y2 + e)))
        top, bottom = sorted((round(c * x1 + d * y1 + f), round(c * x2 + d * y2 + f)))
        part = self._cut(level, left, top, right, bottom)
        size = (height, width) if self._orientation >= 5 else (width, height)
        # Bilinear interpolation loses nothing between half and twice the size. The level ensures that, except for
        # reductions beyond 16 times, which need averaging.
        is_far_smaller = part.shape[1] > 2 * size[0]
        resized = cv2.resize(part, size, interpolation=cv2.INTER_AREA if is_far_smaller else cv2.INTER_LINEAR)
        return np.ascontiguousarray(_UPRIGHT[self._orientation](np.asarray(resized, dtype=np.uint8)))

    def warp(self, transform: Affine, side: int) -> Pixels:
        """Warp the picture by `transform` into a square of `side` pixels: (side, side, 3), uint8, BGR.

        Pixels outside the picture are black. Raises `ImageTruncated`.
        """
        level = max(_choose_level(get_scale(transform)), self._source.finest)
        to_stored = self._to_stored(edges=False, level=level)
        from_stored = compose(transform, invert(to_stored))
        # Cut out only the visible part, plus one pixel on each side for the interpolation.
        x1, y1, x2, y2 = locate_region(from_stored, side)
        width, height = -(-self._source.width // level), -(-self._source.height // level)
        left, top = _clip(math.floor(x1) - 1, 0, width), _clip(math.floor(y1) - 1, 0, height)
        right, bottom = _clip(math.ceil(x2) + 2, left, width), _clip(math.ceil(y2) + 2, top, height)
        if right == left or bottom == top:
            return np.zeros((side, side, 3), np.uint8)
        part = np.ascontiguousarray(self._source.cut(level, left, top, right, bottom))
        shift = np.array([[1, 0, left], [0, 1, top]], dtype=np.float64)
        warped = cv2.warpAffine(part, compose(from_stored, shift), (side, side), borderValue=(0, 0, 0))
        return np.asarray(warped, dtype=np.uint8)

    def _cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        """Cut out a part, clamped to the level and at least one pixel large."""
        width, height = -(-self._source.width // level), -(-self._source.height // level)
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        right, bottom = min(max(right, left + 1), width), min(max(bottom, top + 1), height)
        return self._source.cut(level, left, top, right, bottom)

    def _to_stored(self, *, edges: bool, level: int) -> Affine:
        """Return the transform from upright coordinates to a level of the stored picture.

        With `edges`, coordinates count edges between pixels, otherwise centers of pixels.
        """
        return _find_stored(self._orientation, self._source.width, self._source.height, edges, level)


@lru_cache(maxsize=256)
def _find_stored(orientation: int, width: int, height: int, edges: bool, level: int) -> Affine:
    """Return the transform of `Photo._to_stored` for a stored picture of `width` x `height` pixels; do not write it."""
    offset = 0 if edges else 1
    mapping = _TO_STORED[orientation].copy()
    # The last column is 1 where the coordinate counts from the far end: subtract from the last pixel (or edge).
    mapping[0, 2] *= width - offset
    mapping[1, 2] *= height - offset
    shift = 0.0 if edges else (1 - level) / (2 * level)  # the first pixel's center is (level - 1) / 2 at level 1
    to_stored: Affine = mapping / level + np.array([0, 0, shift])
    return to_stored


def _clip(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _choose_level(scale: float) -> int:
    return max(level for level in LEVELS if level == 1 or 1 / level >= scale * _MIN_RESOLUTION_SHARE)


# By EXIF orientation: the transform from upright x, y to stored x, y (1 in the last column: counted from the far end).
_TO_STORED: dict[int, NDArray[np.float64]] = {
    number: np.array(rows, dtype=np.float64)
    for number, rows in {
        1: [[1, 0, 0], [0, 1, 0]],
        2: [[-1, 0, 1], [0, 1, 0]],
        3: [[-1, 0, 1], [0, -1, 1]],
        4: [[1, 0, 0], [0, -1, 1]],
        5: [[0, 1, 0], [1, 0, 0]],
        6: [[0, 1, 0], [-1, 0, 1]],
        7: [[0, -1, 1], [-1, 0, 1]],
        8: [[0, -1, 1], [1, 0, 0]],
    }.items()
}
# By EXIF orientation: the rotation or reflection that makes stored pixels upright.
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}
# By EXIF orientation: that of the same stored pixels for a picture turned by 90 degrees clockwise.
_TURNED_CLOCKWISE = {1: 6, 6: 3, 3: 8, 8: 1, 2: 7, 7: 4, 4: 5, 5: 2}
