"""Provide the pixels of an encoded picture at the resolutions that are asked for, decoding no finer than necessary."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from app.errors import ImageTruncated
from app.ml.jpeg_damage import has_impossible_averages, may_hide_damage
from app.ml.jpeg_structure import Segment
from app.ml.pixels import Pixels
from app.telemetry import timed

LEVELS = (1, 2, 4, 8)
"""Resolutions of a source: a picture at level k has 1/k of its width and height (libjpeg's scaled decoding)."""

_BAND_ROWS = 64


class PixelSource(Protocol):
    """Pixels in their stored orientation, `width` x `height` at level 1; level k has ceil(side / k) pixels a side."""

    width: int
    height: int
    finest: int
    """The finest level that may be cut; 1 is full resolution."""

    @property
    def levels(self) -> set[int]:
        """The levels that are in memory as arrays."""

    def cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        """Return a part of a level, BGR; the bounds are pixels of that level and lie inside it.

        The caller must not write to the result, which may be a view. Raises `ImageTruncated`.
        """


class EncodedSource:
    """Decodes with OpenCV, each level on first use; a coarser level is computed from a finer one in memory."""

    _FLAGS = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }

    def __init__(self, data: bytes, width: int, height: int, *, finest: int = 1, coarsest: int = LEVELS[-1]) -> None:
        """`coarsest` is the coarsest level that the format decodes faster than the finest."""
        self.width, self.height = width, height
        self.finest = finest
        self._coarsest = coarsest
        self._data = np.frombuffer(data, np.uint8)
        self._decoded: dict[int, Pixels] = {}

    @property
    def levels(self) -> set[int]:
        return set(self._decoded)

    def cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
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


class JpegSource(EncodedSource):
    """Decodes a JPEG with libjpeg-turbo and refuses damaged data, for which OpenCV only prints a warning."""

    def __init__(
        self, data: bytes, width: int, height: int, segments: Sequence[Segment] = (), *, finest: int = 1
    ) -> None:
        """`segments` of the file, see `JpegStructure`, let it find damage that shows in impossible averages."""
        super().__init__(data, width, height, finest=finest)
        self._file = data
        self._segments = segments

    def _decode(self, level: int) -> Pixels:
        width, height = -(-self.width // level), -(-self.height // level)
        try:
            pixels = simplejpeg.decode_jpeg(
                self._data, colorspace="BGR", fastupsample=False, min_height=height, min_width=width, strict=True
            )
        except ValueError as exc:
            raise ImageTruncated("The image's data ends early or is damaged.") from exc
        if pixels.shape != (height, width, 3):
            raise ImageTruncated("The image's data ends early or is damaged.")
        if (
            self._segments
            and not self._decoded
            and may_hide_damage(pixels, level)
            and has_impossible_averages(self._file, self._segments)
        ):
            raise ImageTruncated("The image's data is damaged: blocks are brighter or darker than any samples.")
        return np.asarray(pixels, dtype=np.uint8)


class _BandedSource(ABC):
    """Pixels of another form than BGR, converted part by part: converting all at once would copy the picture."""

    finest = 1

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._reduced: dict[int, Pixels] = {}

    @property
    def levels(self) -> set[int]:
        return set(self._reduced)

    @abstractmethod
    def _convert(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        """Return a part at full resolution, BGR."""

    def cut(self, level: int, left: int, top: int, right: int, bottom: int) -> Pixels:
        if level == 1:
            return self._convert(left, top, right, bottom)
        if level not in self._reduced:
            with timed("decode"):
                self._reduced[level] = self._shrink(level)
        return self._reduced[level][top:bottom, left:right]

    def _shrink(self, level: int) -> Pixels:
        shrunk = np.empty((-(-self.height // level), -(-self.width // level), 3), np.uint8)
        for row in range(0, len(shrunk), _BAND_ROWS):
            band = shrunk[row : row + _BAND_ROWS]
            bottom = min((row + len(band)) * level, self.height)
            part = self._convert(0, row * level, self.width, bottom)
            cv2.resize(part, (band.shape[1], band.shape[0]), dst=band, interpolation=cv2.INTER_AREA)
        return shrunk


class PillowSource(_BandedSource):
    """Reads from a decoded Pillow image, which stays in Pillow's memory."""

    def __init__(self, image: Image.Image, to_bgr: Callable[[Image.Image], Pixels]) -> None:
        super().__init__(*image.size)
        self._image = image
        self._to_bgr = to_bgr

    def _convert(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        return self._to_bgr(self._image.crop((left, top, right, bottom)))


class TransparentSource(_BandedSource):
    """Decodes a transparent picture with OpenCV, in a third of the memory that Pillow takes for a WebP."""

    def __init__(self, data: bytes, width: int, height: int, to_bgr: Callable[[Image.Image], Pixels]) -> None:
        """Decode the picture; raises `ImageTruncated`."""
        super().__init__(width, height)
        self._to_bgr = to_bgr
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as exc:
            raise ImageTruncated("The image's data is damaged.") from exc
        if pixels is None or pixels.shape != (height, width, 4):
            raise ImageTruncated("The image's data ends early or is damaged.")
        self._pixels = pixels

    def _convert(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        part = cv2.cvtColor(self._pixels[top:bottom, left:right], cv2.COLOR_BGRA2RGBA)
        return self._to_bgr(Image.fromarray(part))
