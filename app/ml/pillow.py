"""Open, decode and convert images with Pillow; its exceptions for damaged files become ours."""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import AvifImagePlugin, Image

from app.errors import ImageModeUnsupported, ImageTruncated
from app.ml.file_types import ImageFormat
from app.ml.pixels import Pixels

# Pillow's own limit only warns, up to 179 million pixels; `open_photo` checks ours before decoding.
Image.MAX_IMAGE_PIXELS = None
# Requests run in parallel: a picture on several cores would take them from other requests.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# Ignore warnings about damaged EXIF, process-wide because catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# Exceptions that Pillow raises for damaged files, found by fuzzing.
_DAMAGE = (
    OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, IndexError, KeyError, TypeError,
    OverflowError, ZeroDivisionError, AttributeError, RuntimeError,
)  # fmt: skip

_EXIF_ORIENTATION = 0x0112
_BACKDROP = (128, 128, 128)
"""Color behind transparent pixels; mid gray shifts a face's measured brightness least."""

_MODES = {"RGB", "L", "P", "1", "CMYK", "YCbCr", "RGBX", "RGBA", "LA", "PA", "RGBa", "La"}
_16_BIT = "I;16"


def open_header(data: bytes, form: ImageFormat) -> Image.Image:
    """Read the header of an image; raises `ImageTruncated`, and `ImageModeUnsupported` for pixels of a rare type."""
    try:
        image = Image.open(io.BytesIO(data), formats=(form.name,))
    except _DAMAGE as exc:  # UnidentifiedImageError is an OSError
        raise ImageTruncated("The image's header is damaged.") from exc
    if image.mode not in _MODES and not image.mode.startswith(_16_BIT):
        raise ImageModeUnsupported(
            f"Pixels of type {image.mode!r} are not supported; send 8-bit or 16-bit color or gray."
        )
    return image


def describe_frames(image: Image.Image, form: ImageFormat) -> str | None:
    """Say how many frames or pages an image has; None if it has one. Raises `ImageTruncated`."""
    try:
        if not getattr(image, "is_animated", False):
            return None
        # Counting the frames of a GIF or the pages of a TIFF would read the whole file.
        return "several" if form in (ImageFormat.GIF, ImageFormat.TIFF) else str(getattr(image, "n_frames", "several"))
    except _DAMAGE as exc:
        raise ImageTruncated("The image's data ends early or is damaged.") from exc


def load(image: Image.Image) -> Image.Image:
    """Decode the image; it stays in its own mode, which `to_bgr` converts part by part."""
    try:
        image.load()
    except _DAMAGE as exc:
        raise ImageTruncated("The image's data ends early or is damaged.") from exc
    return image


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 if it is missing or damaged."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except _DAMAGE:
        return 1


def to_bgr(part: Image.Image) -> Pixels:
    """Convert a part of an image of any mode that `open_header` accepts; raises `ImageTruncated`."""
    try:
        return _convert(part)
    except ValueError as exc:
        raise ImageTruncated("The image's palette or transparency is damaged.") from exc


def _convert(part: Image.Image) -> Pixels:
    if part.mode.startswith(_16_BIT):
        # Pillow would clip 16-bit gray to white on conversion to 8 bits; keep the high byte instead.
        part = Image.fromarray((np.asarray(part).astype(np.uint16) >> 8).astype(np.uint8))
    elif "transparency" in part.info or part.mode in ("LA", "PA", "RGBa", "La"):
        part = part.convert("RGBA")
    if part.mode == "RGBA":
        backdrop = Image.new("RGBA", part.size, (*_BACKDROP, 255))
        backdrop.alpha_composite(part)
        part = backdrop
    rgb = part if part.mode == "RGB" else part.convert("RGB")
    return np.ascontiguousarray(np.asarray(rgb)[:, :, ::-1])
