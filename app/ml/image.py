"""From untrusted bytes to a `Photo`; must never decode what the header already rules out."""

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
from app.ml.photo import EncodedSource, HugeJpegSource, Photo, PillowSource, PixelSource
from app.ml.pixels import Pixels
from app.telemetry import timed

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_ASPECT = 50
"""A strip longer than this shows no face, and detectors scale its short side to nothing."""

# Pillow's own limit only warns up to 179 million pixels; ours is checked between header and decoding.
Image.MAX_IMAGE_PIXELS = None
# Of damaged EXIF, which says nothing about the picture. For the process, since catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# What Pillow raises on damaged files, found by fuzzing.
_DAMAGE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, IndexError, KeyError)

MAX_JPEG_SCANS = 100
MAX_JPEG_SEGMENTS = 1000

_EXIF_ORIENTATION = 0x0112
_HUGE_PIXELS = 20_000_000
"""Above, two copies of a JPEG at full resolution are more than one photo may cost."""
_GREY_BACKDROP = (128, 128, 128)  # behind transparency; neither white nor black pulls the face's exposure


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may be at most."""

    max_bytes: int
    max_pixels: int


def open_photo(data: bytes, limits: ImageLimits) -> Photo:
    """Open a JPEG, PNG or WebP image.

    The size is read from the header before anything is decoded; EXIF orientation is applied; gray, palette, CMYK,
    16-bit and transparent images become 8-bit BGR (transparency over mid gray). A JPEG is decoded as far as it is
    looked at, so that its damage may show only then, as `ImageTruncated`. Raises an `ImageRefused`.
    """
    if not data:
        raise ImageEmpty
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The image has {len(data)} bytes; the limit is {limits.max_bytes}.")
    is_whole_jpeg = data.startswith(b"\xff\xd8") and check_jpeg_structure(data)
    image = _open(data)
    with image:
        width, height = image.size
        if width * height > limits.max_pixels:
            raise ImageTooManyPixels(
                f"The image has {width} x {height} = {width * height} pixels; the limit is {limits.max_pixels}."
            )
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise ImageTooManyPixels(f"The image is {width} x {height}; one side may be {MAX_ASPECT} times the other.")
        # Phones append a second picture to a JPEG (MPO): the first one is the photo, so only these two are animations.
        if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
            raise ImageAnimated(f"The image has {image.n_frames} frames; send one.")  # type: ignore[attr-defined]
        source: PixelSource
        if is_whole_jpeg and image.mode in ("L", "RGB"):
            if width * height > _HUGE_PIXELS:
                source = HugeJpegSource(data, width, height, lambda: PillowSource(_load(_open(data)), _to_bgr))
            else:
                source = EncodedSource(data, width, height)
        elif image.format == "WEBP" and image.mode == "RGB":
            source = EncodedSource(data, width, height, coarsest=1)
        else:
            with timed("decode"):
                source = PillowSource(_load(image), _to_bgr)
        return Photo(source, _orientation(image))


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as exc:
        raise ImageUnreadable("The bytes are not a JPEG, PNG or WebP image.") from exc
    except _DAMAGE as exc:
        raise ImageTruncated("The image's header is damaged.") from exc


def _load(image: Image.Image) -> Image.Image:
    """Decoded, in a mode that can be cut and shrunk: L, RGB, RGBA."""
    try:
        image.load()
        return _simplify(image)
    except _DAMAGE as exc:
        raise ImageTruncated("The image's data ends early or is damaged.") from exc


def _simplify(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit gray to white when asked for 8 bits; keep the high byte instead.
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
        return 1  # broken EXIF says nothing about the picture: take it as it lies


def _to_bgr(part: Image.Image) -> Pixels:
    """Of a picture in mode L, RGB or RGBA."""
    if part.mode == "RGBA":
        backdrop = Image.new("RGBA", part.size, (*_GREY_BACKDROP, 255))
        backdrop.alpha_composite(part)
        part = backdrop
    rgb = part if part.mode == "RGB" else part.convert("RGB")
    return np.ascontiguousarray(np.asarray(rgb)[:, :, ::-1])


def check_jpeg_structure(data: bytes) -> bool:
    """Refuse a JPEG whose structure alone takes long to decode; raises `ImageTooComplex`.

    Answers whether it has the end that a whole file has. OpenCV, which decodes JPEGs in a third of the time, shows gray
    where the data ends early; so a file without an end is left to Pillow, which says so.

    Each scan of a progressive file goes over every pixel again, and 60 bytes make one; Pillow joins segments in
    quadratic time. Cameras and browsers write about ten scans and at most a few hundred segments. A file that is
    damaged is left to the decoder.
    """
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        marker = data[position : position + 2]
        if len(marker) < 2 or marker[0] != 0xFF:
            return False
        if marker == b"\xff\xda":
            # In coded data 0xFF is always escaped, so these markers are real.
            end = data.find(b"\xff\xd9", position)
            scans = data.count(b"\xff\xda", position, end if end >= 0 else len(data))
            if scans > MAX_JPEG_SCANS:
                raise ImageTooComplex(f"The JPEG has {scans} scans; the limit is {MAX_JPEG_SCANS}.")
            return end >= 0
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ImageTooComplex(f"The JPEG has more than {MAX_JPEG_SEGMENTS} segments.")
