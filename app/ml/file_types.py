"""Recognize the type of a file by its first bytes: a format that we decode, or what to call it in an error."""

from enum import StrEnum


class ImageFormat(StrEnum):
    """A format that can be decoded; `HEIF` only with the optional package pillow-heif."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    AVIF = "AVIF"
    HEIF = "HEIC"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"


_IMAGES: tuple[tuple[int, bytes, ImageFormat], ...] = (
    (0, b"\xff\xd8\xff", ImageFormat.JPEG),
    (0, b"\x89PNG\r\n\x1a\n", ImageFormat.PNG),
    (8, b"WEBP", ImageFormat.WEBP),
    (0, b"GIF87a", ImageFormat.GIF),
    (0, b"GIF89a", ImageFormat.GIF),
    (0, b"BM", ImageFormat.BMP),
    (0, b"II*\0", ImageFormat.TIFF),
    (0, b"MM\0*", ImageFormat.TIFF),
)
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (8, b"AVI ", "an AVI video"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML"),
    (0, b"<!DOCTYPE", "HTML"),
    (0, b"<html", "HTML"),
    (0, b"{", "JSON"),
    (0, b"data:", "a data URL; send the bytes that it encodes"),
)

# Brands of ISO base media files (ISO/IEC 14496-12) with pictures; others are videos.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1"}
_OTHER_BRANDS = {
    b"hevc": "a HEIC sequence",
    b"hevx": "a HEIC sequence",
    b"msf1": "a HEIF sequence",
    b"qt  ": "a QuickTime video",
}
_MAX_BRANDS = 64


def find_format(data: bytes) -> ImageFormat | None:
    """Return the format of an image that can be decoded; None for anything else."""
    if data[4:8] == b"ftyp":
        brands = _read_brands(data)
        # A general brand (mif1) says only in the brands that follow how the picture is coded.
        if brands[0] in _AVIF_BRANDS or (brands[0] == b"mif1" and _AVIF_BRANDS & set(brands)):
            return ImageFormat.AVIF
        return ImageFormat.HEIF if brands[0] in _HEIF_BRANDS else None
    return next((form for at, magic, form in _IMAGES if data.startswith(magic, at)), None)


def name_file_type(data: bytes) -> str | None:
    """Return the type of a file that is no image we decode, for a sentence; None if it is unknown."""
    if data[4:8] == b"ftyp":
        return _OTHER_BRANDS.get(data[8:12], "an MP4 video")
    return next((name for at, magic, name in _OTHERS if data.startswith(magic, at)), None)


def _read_brands(data: bytes) -> list[bytes]:
    """The major brand of an ISO base media file, then the compatible ones."""
    size = min(int.from_bytes(data[:4], "big"), len(data))
    compatible = [data[at : at + 4] for at in range(16, size - 3, 4)][:_MAX_BRANDS]
    return [data[8:12], *compatible]
