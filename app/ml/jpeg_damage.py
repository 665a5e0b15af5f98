"""Find damage that a JPEG decoder does not notice, because the changed bits are valid codes.

JPEG codes the average of each block of 8 x 8 samples (its DC coefficient) as the difference to the block before
(ITU-T T.81, F.1.1.5.1). After a changed bit, wrong differences add up until averages lie where none of 8-bit samples
can. Decoders clip them to black or white. This module decodes the averages alone, scaled down so that nothing clips.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import simplejpeg

from app.ml.jpeg_structure import FRAMES, HUFFMAN_FRAMES, PROGRESSIVE_FRAMES, SIGNATURE, START_OF_SCAN, Segment
from app.ml.pixels import Pixels

_GRAY = 128
_QUANTIZATION_MARGIN = 0.25
"""How far averages may lie outside of -128..127, in steps: rounding to a step of DC coefficients adds 1/16."""

_QUANTIZATION_TABLES = 0xDB
_METADATA = {*range(0xE0, 0xF0), 0xFE}
_COMPONENT_NAMES = b"RGB"
"""Components of these names are decoded without conversion of colors."""


def may_hide_damage(pixels: Pixels, level: int) -> bool:
    """Tell whether any block of a decoded picture is black or white in some channel, as clipped averages are.

    `level` is the reduction of the picture: one pixel of each block is looked at.
    """
    step = max(1, 8 // level)
    sample = pixels[::step, ::step]
    return bool(((sample == 0) | (sample == 255)).any())


@dataclass(frozen=True, slots=True)
class _Component:
    name: int
    table: int
    """Number of its quantization table."""


def has_impossible_averages(data: bytes, segments: Iterable[Segment]) -> bool:
    """Tell whether the average of any block lies where no 8-bit samples' average can.

    `segments` are those of the file, see `JpegStructure`.

    Takes about as long as decoding at an eighth of the resolution. Finds nothing in files of the highest qualities,
    whose averages are not quantized, and in those of kinds that cameras do not write: CMYK, 12-bit, arithmetic coding.
    """
    steps: dict[int, int] = {}
    components: list[_Component] = []
    parts = [SIGNATURE]
    is_progressive = False
    for segment in segments:
        content = data[segment.start : segment.end]
        if segment.marker == _QUANTIZATION_TABLES:
            content = _scale_tables(content, steps)
        elif segment.marker in FRAMES:
            components = _read_components(segment.marker, content)
            if not components:
                return False
            is_progressive = segment.marker in PROGRESSIVE_FRAMES
            content = _rename(content, components, first=8, size=3)
        elif segment.marker == START_OF_SCAN:
            if is_progressive and content[-3:-2] != b"\0":
                continue  # only other coefficients than averages
            content = _rename(content, components, first=3, size=2)
        elif segment.marker in _METADATA:
            continue
        parts += [bytes([0xFF, segment.marker]), content, data[segment.end : segment.data_end]]
    return _exceeds(b"".join(parts), [steps.get(component.table, 1) for component in components])


def _exceeds(data: bytes, steps: list[int]) -> bool:
    """Decode scaled averages; `steps` are the quantization steps of the components' averages before scaling."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        averages = simplejpeg.decode_jpeg(
            data, colorspace="RGB" if len(steps) == 3 else "GRAY", min_height=-(-height // 8), min_width=-(-width // 8)
        )
    except ValueError:
        return False
    distances = np.abs(averages.reshape(-1, len(steps)).astype(np.int16) - _GRAY).max(axis=0)
    limits = [(_GRAY + _QUANTIZATION_MARGIN * step) * _scale(step) / step + 1 for step in steps]
    return bool((distances > limits).any())


def _scale_tables(content: bytes, steps: dict[int, int]) -> bytes:
    """Divide the steps of averages by about 4, and zero the others; note the averages' steps by table number."""
    scaled = bytearray(content)
    position = 2
    while position < len(content):
        bytes_each = 2 if content[position] >> 4 else 1
        number, first = content[position] & 15, position + 1
        step = int.from_bytes(content[first : first + bytes_each], "big")
        steps.setdefault(number, max(step, 1))
        position = first + 64 * bytes_each
        scaled[first:position] = _scale(step).to_bytes(bytes_each, "big") + bytes(63 * bytes_each)
    return bytes(scaled[: len(content)])


def _scale(step: int) -> int:
    return max(1, step // 4)


def _read_components(frame: int, content: bytes) -> list[_Component]:
    """Return the components of a frame header; none unless they are 1 or 3 of 8 bits in Huffman codes."""
    if frame not in HUFFMAN_FRAMES or content[2:3] != b"\x08" or len(content) not in (8 + 3, 8 + 9):
        return []
    return [_Component(content[at], content[at + 2]) for at in range(8, len(content), 3)]


def _rename(content: bytes, components: list[_Component], *, first: int, size: int) -> bytes:
    """Name the components of a frame's or scan's header; their entries of `size` bytes begin at `first`."""
    names = {component.name: _COMPONENT_NAMES[place] for place, component in enumerate(components)}
    renamed = bytearray(content)
    for at in range(first, first + size * int.from_bytes(content[first - 1 : first]), size):
        if at < len(renamed):
            renamed[at] = names.get(renamed[at], renamed[at])
    return bytes(renamed)
