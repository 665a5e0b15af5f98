"""A photo as the networks want it: any part at any size, decoded no finer than that needs.

Two kinds of source hold the pixels as they are stored; `Photo` knows which way is up. Nothing here is turned or copied
whole: only what is asked for is.
"""

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import ImageTruncated
from app.ml.alignment import Affine, compose, invert, region_of, scale_of
from app.ml.pixels import Box, Pixels
from app.telemetry import timed

LEVELS = (1, 2, 4, 8)
"""What a source can be read at: every pixel, or every 2nd, 4th, 8th way (libjpeg's scaled decoding)."""

_BAND_ROWS = 64
_ENOUGH = 0.9
"""A level that has this share of the resolution asked for is fine enough: a tenth is less than a face's own blur."""


class PixelSource(Protocol):
    """Stored pixels, `width` x `height` at level 1; at level k a side has ceil(side / k)."""

    width: int
    height: int

    @property
    def levels(self) -> set[int]:
        """The levels held as arrays."""

    def cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        """The part between these pixels of the level, which lie inside it; the caller must not write to it."""


class EncodedSource:
    """What OpenCV decodes, at a level when that level is first asked for; coarser ones come from finer ones."""

    _FLAGS = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }

    def __init__(self, data: bytes, width: int, height: int, *, coarsest: int = LEVELS[-1]) -> None:
        self.width, self.height = width, height
        self._coarsest = coarsest
        """The coarsest level that is quicker to decode than the finest."""
        self._data = np.frombuffer(data, np.uint8)
        self._decoded: dict[int, Pixels] = {}

    @property
    def levels(self) -> set[int]:
        """See `PixelSource`."""
        return set(self._decoded)

    def cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        """See `PixelSource`; raises `ImageTruncated`."""
        if level not in self._decoded:
            with timed("decode"):
                if level > self._coarsest and self._coarsest not in self._decoded:
                    self._decoded[self._coarsest] = self._decode(self._coarsest)
                finer = [other for other in self._decoded if other < level]
                self._decoded[level] = self._shrink(max(finer), level) if finer else self._decode(level)
        return self._decoded[level][top:bottom, left:right]

    def _decode(self, level: int) -> Pixels:
        try:
            pixels = cv2.imdecode(self._data, self._FLAGS[level] | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as exc:
            raise ImageTruncated("The image's data is damaged.") from exc
        if pixels is None or pixels.shape != (-(-self.height // level), -(-self.width // level), 3):
            raise ImageTruncated("The image's data ends early or is damaged.")
        return np.asarray(pixels, dtype=np.uint8)

    def _shrink(self, finer: int, level: int) -> Pixels:
        size = -(-self.width // level), -(-self.height // level)
        return np.asarray(cv2.resize(self._decoded[finer], size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


class PillowSource:
    """What Pillow decoded. It stays in Pillow's memory: only the parts asked for become arrays."""

    def __init__(self, image: Image.Image, to_bgr: Callable[[Image.Image], Pixels]) -> None:
        self.width, self.height = image.size
        self._image = image
        self._to_bgr = to_bgr
        self._reduced: dict[int, Pixels] = {}

    @property
    def levels(self) -> set[int]:
        """See `PixelSource`."""
        return set(self._reduced)

    def cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        """See `PixelSource`."""
        if level == 1:
            return self._to_bgr(self._image.crop((left, top, right, bottom)))
        if level not in self._reduced:
            with timed("decode"):
                self._reduced[level] = self._shrink(level)
        return self._reduced[level][top:bottom, left:right]

    def _shrink(self, level: int) -> Pixels:
        """Band by band: Pillow would turn the whole picture into another mode, or the array into another order."""
        shrunk = np.empty((-(-self.height // level), -(-self.width // level), 3), np.uint8)
        for first in range(0, len(shrunk), _BAND_ROWS):
            band = shrunk[first : first + _BAND_ROWS]
            bottom = min((first + len(band)) * level, self.height)
            part = self._to_bgr(self._image.crop((0, first * level, self.width, bottom)))
            cv2.resize(part, (band.shape[1], band.shape[0]), dst=band, interpolation=cv2.INTER_AREA)
        return shrunk


class HugeJpegSource:
    """A JPEG of which OpenCV, which decodes into two copies, does the coarse levels and Pillow the finest."""

    def __init__(self, data: bytes, width: int, height: int, finest: Callable[[], PixelSource]) -> None:
        self.width, self.height = width, height
        self._coarse = EncodedSource(data, width, height)
        self._make_finest = finest
        self._finest: PixelSource | None = None

    @property
    def levels(self) -> set[int]:
        """See `PixelSource`."""
        return self._coarse.levels | ({1} if self._finest is not None else set())

    def cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        """See `PixelSource`; raises `ImageTruncated`."""
        if level > 1:
            return self._coarse.cut(level, left, top, right, bottom)
        if self._finest is None:
            with timed("decode"):
                self._finest = self._make_finest()
        return self._finest.cut(level, left, top, right, bottom)


class Photo:
    """An upright picture; coordinates are pixels of it at full resolution, from its top left corner."""

    def __init__(self, source: PixelSource, orientation: int = 1) -> None:
        self._source = source
        self._orientation = orientation if orientation in _UPRIGHT else 1
        is_lying = self._orientation >= 5
        self.width = source.height if is_lying else source.width
        self.height = source.width if is_lying else source.height

    def render(self, box: Box, width: int, height: int) -> Pixels:
        """A part `(x1, y1, x2, y2)` of the picture at a size, BGR; raises `ImageTruncated`."""
        x1, y1, x2, y2 = box
        level = _level_for(max(width / (x2 - x1), height / (y2 - y1)))
        ends = self._to_stored(edges=True, level=level) @ np.array([[x1, x2], [y1, y2], [1, 1]])
        (left, right), (top, bottom) = np.rint(np.sort(ends, axis=1)).astype(int)
        part = self._cut(level, left, top, right, bottom)
        size = (height, width) if self._orientation >= 5 else (width, height)
        # Between half and twice the size bilinear loses nothing; the levels keep it there, but for tiny pictures.
        is_far = part.shape[1] > 2 * size[0]
        resized = cv2.resize(part, size, interpolation=cv2.INTER_AREA if is_far else cv2.INTER_LINEAR)
        return np.ascontiguousarray(_UPRIGHT[self._orientation](np.asarray(resized, dtype=np.uint8)))

    def warp(self, transform: Affine, side: int) -> Pixels:
        """The square of `side` pixels that `transform` takes from the picture, BGR; black where the picture ends."""
        level = _level_for(scale_of(transform))
        to_stored = self._to_stored(edges=False, level=level)
        from_stored = compose(transform, invert(to_stored))
        # Only the part that the square shows; one pixel more on each side, for the interpolation.
        x1, y1, x2, y2 = region_of(from_stored, side)
        width, height = -(-self._source.width // level), -(-self._source.height // level)
        left, top = int(np.clip(np.floor(x1) - 1, 0, width)), int(np.clip(np.floor(y1) - 1, 0, height))
        right, bottom = int(np.clip(np.ceil(x2) + 2, left, width)), int(np.clip(np.ceil(y2) + 2, top, height))
        if right == left or bottom == top:
            return np.zeros((side, side, 3), np.uint8)
        part = np.ascontiguousarray(self._source.cut(level, left, top, right, bottom))
        shift = np.array([[1, 0, left], [0, 1, top]], dtype=np.float64)
        warped = cv2.warpAffine(part, compose(from_stored, shift), (side, side), borderValue=(0, 0, 0))
        return np.asarray(warped, dtype=np.uint8)

    def _cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        """A part of at least one pixel, inside the level."""
        width, height = -(-self._source.width // level), -(-self._source.height // level)
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        right, bottom = min(max(right, left + 1), width), min(max(bottom, top + 1), height)
        return self._source.cut(level, left, top, right, bottom)

    def _to_stored(self, *, edges: bool, level: int) -> Affine:
        """From the upright picture to a level of the stored one; of edges between pixels, or of pixels' centers."""
        last = 0 if edges else 1
        turn = _TO_STORED[self._orientation].copy()
        # The constant counts how often the side's last pixel (or edge) is what the coordinate is taken from.
        turn[0, 2] *= self._source.width - last
        turn[1, 2] *= self._source.height - last
        shift = 0.0 if edges else (1 - level) / (2 * level)  # center of the first pixel of a level
        to_stored: Affine = turn / level + np.array([0, 0, shift])
        return to_stored


def _level_for(scale: float) -> int:
    return max(level for level in LEVELS if level == 1 or 1 / level >= scale * _ENOUGH)


# EXIF orientation: from upright x, y to stored x, y (1 in the last column: counted from the far end), and the turn that
# makes stored pixels upright.
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
