"""Plan which parts of a picture the detector sees, and at which input size.

There are few, fixed sizes, so that memory stays flat (docs/decisions/0014); each picture gets the smallest sufficient
one.
"""

import math
from dataclasses import dataclass

from app.domain.faces import Detail
from app.ml.pixels import Box

SMALL_INPUT = (160, 160)
"""SCRFD misses faces that fill a large input. A second pass at this size finds them in a twentieth of the time.

After a small first input, it takes a third of the time and finds only faces that left traces in the first pass. There
it runs only if the first pass leaves doubts.
"""

# The longer side up to which a picture gets this input.
_MAX_SIDE_FOR_256, _INPUT_256 = 288, (256, 256)
_MAX_SIDE_FOR_320, _INPUT_320 = 400, (320, 320)
_DOUBTING_INPUTS = frozenset({_INPUT_256, _INPUT_320})
# Minimum ratio of the longer to the shorter side, with the input size from that ratio on.
_WIDE_INPUTS = ((640 / 384, (640, 384)), (640 / 480, (640, 480)), (0.0, (640, 640)))

_TILE = 640
_TILE_OVERLAP = 160
_MIN_FACE_IN_TILE = 20
"""Minimum size of a face, in input pixels, that SCRFD finds reliably; it finds some from about 10 on."""
_MAX_TILES = 64

INPUT_SIZES = frozenset(
    {SMALL_INPUT, _INPUT_256, _INPUT_320, *(size for _, size in _WIDE_INPUTS), (384, 640), (480, 640)}
)
"""Every input size that a pass may have, as `(width, height)`."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of the detector: a part of the picture, letterboxed into an input of `(width, height)` pixels."""

    box: Box
    input_size: tuple[int, int]
    is_tile: bool = False
    is_second_look: bool = False
    """Run it only if the passes before leave doubts about the faces."""


def plan_passes(width: int, height: int, detail: Detail, min_face_pixels: float) -> list[Pass]:
    """Plan the passes for a picture of `width` x `height` pixels.

    `FAST`: one pass, which finds faces from about 1/20 of the longer side on. `STANDARD`: one pass of up to 640 pixels
    and a small one. `THOROUGH`: also tiles, if the other passes would miss a face of `min_face_pixels`.
    """
    whole = (0.0, 0.0, float(width), float(height))
    if detail is Detail.FAST:
        return [Pass(whole, _INPUT_256 if max(width, height) <= _MAX_SIDE_FOR_256 else _INPUT_320)]
    first = Pass(whole, _choose_input(width, height))
    passes = [first, Pass(whole, SMALL_INPUT, is_second_look=first.input_size in _DOUBTING_INPUTS)]
    if detail is Detail.THOROUGH:
        passes += [Pass(box, (_TILE, _TILE), is_tile=True) for box in _plan_tiles(width, height, min_face_pixels)]
    return passes


def _choose_input(width: int, height: int) -> tuple[int, int]:
    longer, shorter = max(width, height), min(width, height)
    if longer <= _MAX_SIDE_FOR_256:
        return _INPUT_256
    if longer <= _MAX_SIDE_FOR_320:
        return _INPUT_320
    wide = next(size for ratio, size in _WIDE_INPUTS if longer >= ratio * shorter)
    return wide if width >= height else (wide[1], wide[0])


def _plan_tiles(width: int, height: int, min_face_pixels: float) -> list[Box]:
    scale = min(1.0, _MIN_FACE_IN_TILE / min_face_pixels)
    while True:
        side, overlap = _TILE / scale, _TILE_OVERLAP / scale
        if max(width, height) <= side:  # the first pass already has this resolution
            return []
        columns, rows = _tile_offsets(width, side, overlap), _tile_offsets(height, side, overlap)
        if len(columns) * len(rows) <= _MAX_TILES:
            return [(x, y, min(x + side, width), min(y + side, height)) for y in rows for x in columns]
        scale *= 0.9


def _tile_offsets(length: float, side: float, overlap: float) -> list[float]:
    """Return evenly spread tile positions that cover `length` and overlap by at least `overlap`."""
    if length <= side:
        return [0.0]
    count = math.ceil((length - overlap) / (side - overlap))
    return [index * (length - side) / (count - 1) for index in range(count)]
