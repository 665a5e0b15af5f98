"""Reduce a PNG file to what its pixels need, so that damaged or huge metadata is no reason to refuse a photo."""

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}
"""Pixels, palette, transparency, and the chunks that tell an animation (PNG, third edition, 11 and 11.3.6)."""

_ORIENTATION = b"eXIf"


def drop_metadata(data: bytes) -> bytes:
    """Return a PNG file without text, color profiles, gamma and the like; EXIF stays if its checksum is right.

    Damage is left for the decoder to find: from a chunk that ends beyond the file, the rest is returned as it is.
    """
    parts, position = [SIGNATURE], len(SIGNATURE)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if end > len(data):
            break
        if kind in _KEPT or (kind == _ORIENTATION and _has_right_checksum(data[position:end])):
            parts.append(data[position:end])
        position = end
        if kind == b"IEND":
            return b"".join(parts)
    parts.append(data[position:])
    return b"".join(parts)


def _has_right_checksum(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
