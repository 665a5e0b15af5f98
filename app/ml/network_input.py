"""Turn a picture into the detector's input, in memory that each thread keeps.

Megabytes of new memory for each picture would cost more time than the conversion: the operating system clears them.
"""

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

from app.ml.pixels import Pixels

_MAX_KEPT = 3 * 640 * 640
"""Values (4 bytes each) that a thread keeps at most; larger inputs are made anew."""


class NetworkInput:
    """Converts pixels by `(value - mean) / deviation`, with the channels as RGB."""

    def __init__(self, mean: float, deviation: float) -> None:
        levels = np.arange(256, dtype=np.float32)
        self._table = (levels - np.float32(mean)) * np.float32(1 / deviation)
        self._kept = threading.local()

    def convert(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return a BGR picture (h, w, 3) as (1, 3, h, w); valid until this thread converts the next one."""
        height, width = pixels.shape[:2]
        planes = self._reserve(3 * height * width).reshape(3, height, width)
        for plane, channel in zip(planes, reversed(cv2.split(pixels)), strict=True):
            cv2.LUT(channel, self._table, plane)
        return planes[None]

    def _reserve(self, size: int) -> NDArray[np.float32]:
        if size > _MAX_KEPT:
            return np.empty(size, np.float32)
        kept: NDArray[np.float32] | None = getattr(self._kept, "values", None)
        if kept is None or len(kept) < size:
            kept = self._kept.values = np.empty(size, np.float32)
        return kept[:size]
