"""Decode HEIC photos with pillow-heif, if it is installed: `pip install vultus[heif]`.

Its wheels contain libheif and libde265 (LGPL) and x265 (GPL), so it is no dependency of Vultus.
"""

import io
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from app.errors import ImageModeUnsupported, ImageTruncated
from app.ml.pixel_sources import EncodedSource
from app.ml.pixels import Pixels

IS_AVAILABLE = find_spec("pillow_heif") is not None

# What libheif's binding raises for damaged files, found by fuzzing.
_DAMAGE = (
    ValueError,
    RuntimeError,
    OSError,
    EOFError,
    SyntaxError,
    IndexError,
    KeyError,
    OverflowError,
    ZeroDivisionError,
)


class HeifSource(EncodedSource):
    """Decodes the primary image of a HEIC file, upright as its transformations say."""

    def __init__(self, data: bytes) -> None:
        """Read the header; raises `ImageTruncated` and `ImageModeUnsupported`."""
        self._file = _open(data)
        width, height = self._file.size
        super().__init__(b"", width, height, coarsest=1)

    def _decode(self, level: int) -> Pixels:
        try:
            pixels = np.asarray(self._file)
        except _DAMAGE as exc:
            raise ImageTruncated("The image's data ends early or is damaged.") from exc
        self._file = None
        if pixels.shape[:2] != (self.height, self.width):
            raise ImageTruncated("The image's data ends early or is damaged.")
        return np.asarray(pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def _open(data: bytes) -> Any:
    import pillow_heif  # noqa: PLC0415 - optional, and slow to import

    options = pillow_heif.options
    # Requests run in parallel: a photo on several cores would take them from other requests.
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    try:
        file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True, bgr_mode=True)
        mode = file.mode  # raises for a file without pictures
    except _DAMAGE as exc:
        raise ImageTruncated("The image's header is damaged.") from exc
    if mode not in ("BGR", "L"):
        raise ImageModeUnsupported(f"HEIC pixels of type {mode!r} are not supported; send color or gray.")
    return file
