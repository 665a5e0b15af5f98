"""Which parts of a picture the detector looks at, and at which input size.

The sizes are few and fixed: memory then stays flat (docs/decisions/0014), and each is no larger than the picture needs.
"""

import math
from dataclasses import dataclass

from app.domain.faces import Detail
from app.ml.pixels import Box

SMALL_INPUT = (160, 160)
"""SCRFD misses faces that fill a large input: a second look at a small one finds them, for a twentieth of the time."""

_TINY_PICTURE, _TINY_INPUT = 288, (256, 256)
_LITTLE_PICTURE, _LITTLE_INPUT = 400, (320, 320)
# By the least ratio of long side to short.
_WIDE_INPUTS = ((640 / 384, (640, 384)), (640 / 480, (640, 480)), (0.0, (640, 640)))

_TILE = 640
_TILE_OVERLAP = 160
_SMALLEST_IN_TILE = 20
"""Pixels of a face in the input that SCRFD finds dependably; it begins to at about 10."""
_MAX_TILES = 64

INPUT_SIZES = frozenset(
    {SMALL_INPUT, _TINY_INPUT, _LITTLE_INPUT, *(size for _, size in _WIDE_INPUTS), (384, 640), (480, 640)}
)
"""All that there are."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One look: a part of the picture, letterboxed into an input `(width, height)`."""

    box: Box
    input_size: tuple[int, int]
    is_tile: bool = False


def plan_passes(width: int, height: int, detail: Detail, smallest_face: float) -> list[Pass]:
    """The passes for a picture.

    `FAST`: one, which finds faces from about a twentieth of the longer side on. `STANDARD`: one of up to 640 pixels and
    a small one. `THOROUGH`: tiles as well, where a face of `smallest_face` pixels would else be too small to find.
    """
    whole = (0.0, 0.0, float(width), float(height))
    if detail is Detail.FAST:
        return [Pass(whole, _TINY_INPUT if max(width, height) <= _TINY_PICTURE else _LITTLE_INPUT)]
    passes = [Pass(whole, _fit(width, height)), Pass(whole, SMALL_INPUT)]
    if detail is Detail.THOROUGH:
        passes += [Pass(box, (_TILE, _TILE), is_tile=True) for box in _tiles(width, height, smallest_face)]
    return passes


def _fit(width: int, height: int) -> tuple[int, int]:
    longer, shorter = max(width, height), min(width, height)
    if longer <= _TINY_PICTURE:
        return _TINY_INPUT
    if longer <= _LITTLE_PICTURE:
        return _LITTLE_INPUT
    wide = next(size for ratio, size in _WIDE_INPUTS if longer >= ratio * shorter)
    return wide if width >= height else (wide[1], wide[0])


def _tiles(width: int, height: int, smallest_face: float) -> list[Box]:
    scale = min(1.0, _SMALLEST_IN_TILE / smallest_face)
    while True:
        side, overlap = _TILE / scale, _TILE_OVERLAP / scale
        if max(width, height) <= side:  # the first pass saw as much already
            return []
        columns, rows = _starts(width, side, overlap), _starts(height, side, overlap)
        if len(columns) * len(rows) <= _MAX_TILES:
            return [(x, y, min(x + side, width), min(y + side, height)) for y in rows for x in columns]
        scale *= 0.9


def _starts(length: float, side: float, overlap: float) -> list[float]:
    """Where tiles begin, evenly spread, so that they cover the length and overlap by at least so much."""
    if length <= side:
        return [0.0]
    count = math.ceil((length - overlap) / (side - overlap))
    return [index * (length - side) / (count - 1) for index in range(count)]
