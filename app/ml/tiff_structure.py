"""Read how many parts the pixels of a TIFF file are stored in, without decoding it."""

import struct

from app.errors import ImageTooComplex

MAX_PARTS = 20_000
"""Strips or tiles; Pillow lists each of them. Scanners write one strip for a few rows."""

_PART_OFFSETS = {273, 324}
"""StripOffsets and TileOffsets (TIFF 6.0, sections 8 and 15)."""

_ENTRY_SIZE = 12


def check_tiff_structure(data: bytes) -> None:
    """Raise `ImageTooComplex` if the first picture is stored in too many parts; damage is left for the decoder."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (position,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, position)
        for entry in range(entries):
            tag, _, count = struct.unpack_from(f"{order}HHI", data, position + 2 + _ENTRY_SIZE * entry)
            if tag in _PART_OFFSETS and count > MAX_PARTS:
                raise ImageTooComplex(f"The TIFF's pixels are in {count} parts; the limit is {MAX_PARTS}.")
    except struct.error:
        return
