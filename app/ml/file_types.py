"""Recognize the type of a file by its first bytes, to say in an error what a client sent instead of a photo."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
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
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "an AVIF sequence",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "a HEIC sequence",
    b"mif1": "HEIF",
    b"msf1": "a HEIF sequence",
    b"qt  ": "a QuickTime video",
}
"""Major brands of ISO base media files (ISO/IEC 14496-12); others are videos."""


def name_file_type(data: bytes) -> str | None:
    """Return the type of a file that is no JPEG, PNG or WebP, for a sentence; None if it is unknown."""
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "an MP4 video")
    return next((name for at, magic, name in _SIGNATURES if data.startswith(magic, at)), None)
