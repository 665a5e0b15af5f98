"""Open untrusted bytes as a `Photo`; must never decode an image that its header already rules out."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from app.errors import (
    ImageAnimated,
    ImageEmpty,
    ImageModeUnsupported,
    ImageTooComplex,
    ImageTooLarge,
    ImageTooManyPixels,
    ImageTruncated,
    ImageUnreadable,
)
from app.ml.file_types import name_file_type
from app.ml.photo import EncodedSource, HugeJpegSource, JpegSource, Photo, PillowSource, PixelSource
from app.ml.pixels import Pixels
from app.ml.png_chunks import SIGNATURE, drop_metadata
from app.telemetry import timed

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_ASPECT = 50
"""Maximum ratio of the sides: in a longer strip, detectors scale the short side to nothing."""

# Pillow's own limit only warns, up to 179 million pixels; `open_photo` checks ours before decoding.
Image.MAX_IMAGE_PIXELS = None
# Ignore warnings about damaged EXIF, process-wide because catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# Exceptions that Pillow raises for damaged files, found by fuzzing.
_DAMAGE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, IndexError, KeyError)

MAX_JPEG_SCANS = 100
MAX_JPEG_SEGMENTS = 1000

_EXIF_ORIENTATION = 0x0112
_HUGE_PIXELS = 20_000_000
"""Above this size, a JPEG at full resolution stays in Pillow's memory, so that only parts of it become arrays."""
_BACKDROP = (128, 128, 128)
"""Color behind transparent pixels; mid gray shifts a face's measured brightness least."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of one image: encoded size in bytes, and width times height in pixels."""

    max_bytes: int
    max_pixels: int


def open_photo(data: bytes, limits: ImageLimits) -> Photo:
    """Open a JPEG, PNG or WebP image as an upright photo.

    Checks the limits from the header before decoding, and applies the EXIF orientation. Gray, palette, CMYK, 16-bit and
    transparent images become 8-bit BGR, with mid gray behind transparent pixels. A JPEG is decoded when the photo is
    read, so damage may raise `ImageTruncated` only then. Raises a subclass of `ImageRefused`.
    """
    if not data:
        raise ImageEmpty
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The image has {len(data)} bytes; the limit is {limits.max_bytes}.")
    if data.startswith(SIGNATURE):
        data = drop_metadata(data)
    is_complete_jpeg = data.startswith(b"\xff\xd8") and check_jpeg_structure(data)
    image = _open(data)
    with image:
        _check_dimensions(image, limits.max_pixels)
        return Photo(_choose_source(data, image, is_complete_jpeg=is_complete_jpeg), _orientation(image))


def _check_dimensions(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooManyPixels(
            f"The image has {width} x {height} = {width * height} pixels; the limit is {max_pixels}."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageTooManyPixels(
            f"The image is {width} x {height}; its longer side may be at most {MAX_ASPECT} times the shorter one."
        )
    # Phones append a second picture to a JPEG (MPO) and the first is the photo, so only PNG and WebP are checked.
    frames = getattr(image, "n_frames", 1) if image.format in ("PNG", "WEBP") else 1
    if frames > 1:
        raise ImageAnimated(f"The image has {frames} frames; send an image with one frame.")


def _choose_source(data: bytes, image: Image.Image, *, is_complete_jpeg: bool) -> PixelSource:
    """Choose the fastest decoder that reads the file correctly; `image` is `data` opened but not decoded."""
    width, height = image.size
    if is_complete_jpeg and image.mode in ("L", "RGB"):
        if width * height > _HUGE_PIXELS:
            return HugeJpegSource(data, width, height, lambda: PillowSource(_load(_open(data)), _to_bgr))
        return JpegSource(data, width, height)
    if image.format == "WEBP" and image.mode == "RGB":
        return EncodedSource(data, width, height, coarsest=1)
    with timed("decode"):
        return PillowSource(_load(image), _to_bgr)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as exc:
        file_type = name_file_type(data)
        hint = f" They are {file_type}." if file_type is not None else ""
        raise ImageUnreadable(f"The bytes are not a JPEG, PNG or WebP image.{hint}") from exc
    except _DAMAGE as exc:
        raise ImageTruncated("The image's header is damaged.") from exc


def _load(image: Image.Image) -> Image.Image:
    """Decode the image and convert it to mode L, RGB or RGBA, which `_to_bgr` accepts."""
    try:
        image.load()
        return _simplify(image)
    except _DAMAGE as exc:
        raise ImageTruncated("The image's data ends early or is damaged.") from exc


def _simplify(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would clip 16-bit gray to white on conversion to 8 bits; keep the high byte instead.
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode not in ("RGB", "L", "P", "1", "CMYK", "YCbCr", "RGBX"):
        raise ImageModeUnsupported(
            f"Pixels of type {image.mode!r} are not supported; send 8-bit or 16-bit color or gray."
        )
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (*_DAMAGE, TypeError, ZeroDivisionError):
        return 1  # damaged EXIF: use the stored orientation


def _to_bgr(part: Image.Image) -> Pixels:
    """Convert an image in mode L, RGB or RGBA."""
    if part.mode == "RGBA":
        backdrop = Image.new("RGBA", part.size, (*_BACKDROP, 255))
        backdrop.alpha_composite(part)
        part = backdrop
    rgb = part if part.mode == "RGB" else part.convert("RGB")
    return np.ascontiguousarray(np.asarray(rgb)[:, :, ::-1])


def check_jpeg_structure(data: bytes) -> bool:
    """Return whether a JPEG has its end marker; raises `ImageTooComplex` if decoding it would take too long.

    A file without an end marker is decoded by Pillow, which reports truncated data.

    Each scan of a progressive file processes every pixel again and can be as short as 60 bytes. Pillow joins segments
    in quadratic time. Cameras and browsers write about ten scans and at most a few hundred segments. Other damage is
    left to the decoder.
    """
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        marker = data[position : position + 2]
        if len(marker) < 2 or marker[0] != 0xFF:
            return False
        if marker == b"\xff\xda":
            # Entropy-coded data escapes 0xFF, so these markers are real.
            end = data.find(b"\xff\xd9", position)
            scans = data.count(b"\xff\xda", position, end if end >= 0 else len(data))
            if scans > MAX_JPEG_SCANS:
                raise ImageTooComplex(f"The JPEG has {scans} scans; the limit is {MAX_JPEG_SCANS}.")
            return end >= 0
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ImageTooComplex(f"The JPEG has more than {MAX_JPEG_SEGMENTS} segments; the limit is {MAX_JPEG_SEGMENTS}.")
