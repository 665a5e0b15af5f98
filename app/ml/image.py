"""Open untrusted bytes as a `Photo`; must never decode an image that its header already rules out."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

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
from app.ml import heif
from app.ml.file_types import ImageFormat, find_format, name_file_type
from app.ml.jpeg_structure import JpegStructure, read_jpeg_structure
from app.ml.photo import Photo
from app.ml.pillow import describe_frames, load, open_header, read_orientation, to_bgr
from app.ml.pixel_sources import EncodedSource, JpegSource, PillowSource, PixelSource, TransparentSource
from app.ml.png_chunks import drop_metadata
from app.ml.tiff_structure import check_tiff_structure
from app.telemetry import timed

MAX_ASPECT = 50
"""Maximum ratio of the sides: in a longer strip, detectors scale the short side to nothing."""

MEMORY_ABOVE_PIXELS = 64_000_000
"""Decoding an image takes at most this many bytes more than the pixels of the largest image that is allowed."""

_BYTES_PER_PIXEL = 3
_MAX_SCANNED_SHARE = 20
"""A JPEG's scans times its pixels, at most, as a multiple of the pixel limit: each scan processes every pixel."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of one image: encoded size in bytes, and width times height in pixels."""

    max_bytes: int
    max_pixels: int

    @property
    def max_decoded_bytes(self) -> int:
        """The memory that decoding may take."""
        return _BYTES_PER_PIXEL * self.max_pixels + MEMORY_ABOVE_PIXELS


def supported_formats() -> str:
    """Name the formats that can be decoded, for a sentence."""
    *names, last = (form for form in ImageFormat if form is not ImageFormat.HEIF or heif.IS_AVAILABLE)
    return f"{', '.join(names)} or {last}"


def open_photo(data: bytes, limits: ImageLimits) -> Photo:
    """Open an image of a supported format as an upright photo.

    Checks the limits from the header before decoding, and applies the EXIF orientation. Gray, palette, CMYK, 16-bit and
    transparent images become 8-bit BGR, with mid gray behind transparent pixels. Some formats are decoded when the
    photo is read, so damage may raise `ImageTruncated` only then. Raises a subclass of `ImageRefused`.
    """
    if not data:
        raise ImageEmpty
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The image has {len(data)} bytes; the limit is {limits.max_bytes}.")
    form = find_format(data)
    if form is None or (form is ImageFormat.HEIF and not heif.IS_AVAILABLE):
        raise ImageUnreadable(f"The bytes are not a {supported_formats()} image.{_describe(data, form)}")
    return _OPENERS.get(form, _open_with_pillow)(data, form, limits)


def _describe(data: bytes, form: ImageFormat | None) -> str:
    if form is ImageFormat.HEIF:
        return " They are HEIC, which this server does not read: its optional package pillow-heif is not installed."
    file_type = name_file_type(data)
    return f" They are {file_type}." if file_type is not None else ""


def _open_jpeg(data: bytes, form: ImageFormat, limits: ImageLimits) -> Photo:
    structure = read_jpeg_structure(data)
    if structure.frame is not None and structure.is_complete and structure.is_plain:
        return _open_libjpeg(data, structure, (structure.frame.width, structure.frame.height), 1, limits)
    with open_header(data, form) as image:
        if structure.is_complete and image.mode in ("L", "RGB"):
            return _open_libjpeg(data, structure, image.size, read_orientation(image), limits)
        # Pillow knows CMYK, and reports data that ends early.
        _check_jpeg_size(structure, image.size, limits)
        _check_memory(form, image, _BYTES_OF_CMYK + _coefficient_bytes(structure), limits)
        return Photo(_decode_with_pillow(image), read_orientation(image))


def _open_libjpeg(
    data: bytes, structure: JpegStructure, size: tuple[int, int], orientation: int, limits: ImageLimits
) -> Photo:
    _check_jpeg_size(structure, size, limits)
    finest = _find_finest_level(size[0] * size[1], structure, limits)
    return Photo(JpegSource(data, *size, structure.segments, finest=finest), orientation)


def _check_jpeg_size(structure: JpegStructure, size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    _check_size(width, height, limits)
    if structure.scans * width * height > _MAX_SCANNED_SHARE * limits.max_pixels:
        raise ImageTooComplex(
            f"The JPEG has {structure.scans} scans of {width} x {height} pixels; the limit is "
            f"{_MAX_SCANNED_SHARE * limits.max_pixels} pixels in all scans."
        )


def _find_finest_level(pixels: int, structure: JpegStructure, limits: ImageLimits) -> int:
    """The finest level that can be decoded within the memory; raises `ImageTooManyPixels` if there is none.

    libjpeg keeps the coefficients of a whole progressive picture in memory.
    """
    for level in (1, 2):
        if pixels * (_BYTES_PER_PIXEL / level**2 + _coefficient_bytes(structure)) <= limits.max_decoded_bytes:
            return level
    most = int(limits.max_decoded_bytes / (_BYTES_PER_PIXEL / 4 + _coefficient_bytes(structure)))
    raise ImageTooManyPixels(f"The image has {pixels} pixels; the limit for progressive JPEGs of its kind is {most}.")


def _coefficient_bytes(structure: JpegStructure) -> float:
    frame = structure.frame
    return 2 * frame.samples_per_pixel if frame is not None and frame.is_progressive else 0.0


def _open_heif(data: bytes, form: ImageFormat, limits: ImageLimits) -> Photo:
    source = heif.HeifSource(data)
    _check_size(source.width, source.height, limits)
    return Photo(source)


def _open_with_pillow(data: bytes, form: ImageFormat, limits: ImageLimits) -> Photo:
    if form is ImageFormat.PNG:
        data = drop_metadata(data)
    elif form is ImageFormat.TIFF:
        check_tiff_structure(data)
    with open_header(data, form) as image:
        _check_size(*image.size, limits)
        if (frames := describe_frames(image, form)) is not None:
            raise ImageAnimated(f"The image has {frames} frames; send an image with one frame.")
        if form is ImageFormat.BMP and image.info.get("compression") in _RUN_LENGTH_CODES:
            raise ImageModeUnsupported("A BMP with run-length compression is not supported; send it without.")
        if form is ImageFormat.WEBP and image.mode == "RGB":
            # OpenCV needs half of Pillow's memory and time.
            _check_memory(form, image, _BYTES_OF_OPAQUE_WEBP, limits)
            return Photo(EncodedSource(data, *image.size, coarsest=1), read_orientation(image))
        if form is ImageFormat.WEBP:
            _check_memory(form, image, _BYTES_OF_TRANSPARENT_WEBP, limits)
            with timed("decode"):
                return Photo(TransparentSource(data, *image.size, to_bgr), read_orientation(image))
        has_one_byte = image.mode in ("1", "L", "P")
        _check_memory(form, image, _BYTES_OF_ONE_BYTE_MODES if has_one_byte else _BYTES_OF_PILLOW[form], limits)
        return Photo(_decode_with_pillow(image), read_orientation(image))


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if min(width, height) < 1:
        raise ImageTruncated(f"The image is {width} x {height}; each side must be at least 1.")
    if width * height > limits.max_pixels:
        raise ImageTooManyPixels(
            f"The image has {width} x {height} = {width * height} pixels; the limit is {limits.max_pixels}."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageTooManyPixels(
            f"The image is {width} x {height}; its longer side may be at most {MAX_ASPECT} times the shorter one."
        )


def _check_memory(form: ImageFormat, image: Image.Image, bytes_per_pixel: float, limits: ImageLimits) -> None:
    width, height = image.size
    most = int(limits.max_decoded_bytes / bytes_per_pixel)
    if width * height > most:
        raise ImageTooManyPixels(
            f"The image has {width} x {height} = {width * height} pixels; the limit for {form} files of its kind, "
            f"which take more memory to decode, is {most}."
        )


def _decode_with_pillow(image: Image.Image) -> PixelSource:
    with timed("decode"):
        return PillowSource(load(image), to_bgr)


_OPENERS: dict[ImageFormat, Callable[[bytes, ImageFormat, ImageLimits], Photo]] = {
    ImageFormat.JPEG: _open_jpeg,
    ImageFormat.HEIF: _open_heif,
}
_RUN_LENGTH_CODES = (1, 2)
"""Pillow decodes them in Python, byte by byte."""

# Bytes per pixel at the peak, by `benchmarks.photo_memory --unlimited`.
_BYTES_OF_OPAQUE_WEBP, _BYTES_OF_TRANSPARENT_WEBP, _BYTES_OF_CMYK, _BYTES_OF_ONE_BYTE_MODES = 7.0, 9.5, 5.8, 4.0
_BYTES_OF_PILLOW = {
    ImageFormat.PNG: 5.8,
    ImageFormat.AVIF: 10.5,
    ImageFormat.GIF: 4.0,
    ImageFormat.BMP: 5.8,
    ImageFormat.TIFF: 6.5,
}
