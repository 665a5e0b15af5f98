"""Reduce a PNG file to what its pixels need, so that damaged or huge metadata is no reason to refuse a photo."""

import zlib

from app.errors import ImageTooComplex

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 100_000
"""Programs write pixels in chunks of 8 KB and more; each chunk takes time, an empty one as well."""

_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}
"""Pixels, palette, transparency, and the chunks that tell an animation (PNG, third edition, 11 and 11.3.6)."""

_ORIENTATION = b"eXIf"


def drop_metadata(data: bytes) -> bytes:
    """Return a PNG file without text, color profiles, gamma and the like; EXIF stays if its checksum is right.

    Damage is left for the decoder to find: from a chunk that ends beyond the file, the rest is returned as it is.
    Raises `ImageTooComplex` for too many chunks.
    """
    view = memoryview(data)  # slices of it are no copies
    parts, position = [view[: len(SIGNATURE)]], len(SIGNATURE)
    has_dropped = False
    for _ in range(MAX_CHUNKS):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if end > len(data):
            parts.append(view[position:])
            return b"".join(parts) if has_dropped else data
        if kind in _KEPT or (kind == _ORIENTATION and _has_right_checksum(data[position:end])):
            parts.append(view[position:end])
        else:
            has_dropped = True
        position = end
        if kind == b"IEND":
            return b"".join(parts) if has_dropped else data
    raise ImageTooComplex(f"The PNG has more than {MAX_CHUNKS} chunks; the limit is {MAX_CHUNKS}.")


def _has_right_checksum(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
