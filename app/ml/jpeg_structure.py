"""Read the structure of a JPEG file without decoding it: is it whole, and how much work and memory does it take?"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import ImageTooComplex

SIGNATURE = b"\xff\xd8"

MAX_SCANS = 100
MAX_SEGMENTS = 1000

END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
PROGRESSIVE_FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}
HUFFMAN_FRAMES = {0xC0, 0xC1, 0xC2}
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF_OR_XMP = 0xE1

# Entropy-coded data escapes 0xFF with 0x00 and may contain restart markers, 0xD0 to 0xD7. 0xFF may repeat as filling;
# the last one counts. A literal first byte makes the search many times as fast as a repetition.
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker segment: `data[start:end]` holds its length and parameters; a scan's coded data ends at `data_end`."""

    marker: int
    start: int
    end: int
    data_end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of a picture: how it is coded, the size in pixels, and the components of each pixel."""

    marker: int
    bits: int
    """Bits per sample."""
    width: int
    height: int
    components: int
    samples_per_pixel: float
    """Of all components: 3 in full resolution, 1.5 with 4:2:0 subsampling."""

    @property
    def is_progressive(self) -> bool:
        return self.marker in PROGRESSIVE_FRAMES


@dataclass(frozen=True, slots=True)
class JpegStructure:
    """What the markers of a JPEG file tell (ITU-T T.81, annex B)."""

    segments: tuple[Segment, ...]
    is_complete: bool
    """Whether the end marker is there."""
    scans: int
    frame: Frame | None
    """The last frame header; None without one."""

    @property
    def is_plain(self) -> bool:
        """Whether the first picture is gray or color in 8 bits, and no metadata may tell an orientation."""
        frames = sum(segment.marker in FRAMES for segment in self.segments)
        return (
            self.frame is not None
            and frames == 1
            and self.frame.marker in HUFFMAN_FRAMES
            and self.frame.bits == 8
            and self.frame.components in (1, 3)
            and not any(segment.marker == _EXIF_OR_XMP for segment in self.segments)
        )


def read_jpeg_structure(data: bytes) -> JpegStructure:
    """Read the markers up to the first picture's end; raises `ImageTooComplex` for too many scans or segments.

    Each scan of a progressive file processes every pixel again and can be as short as 60 bytes. Pillow joins segments
    in quadratic time. Cameras and browsers write about ten scans and at most a few hundred segments. Damage is left for
    the decoder to find: the rest counts as missing.
    """
    segments, scans, frame, is_complete = list[Segment](), 0, None, False
    for segment in iterate_segments(data):
        segments.append(segment)
        is_complete = segment.marker == END_OF_IMAGE
        if segment.marker in FRAMES:
            frame = _read_frame(segment.marker, data[segment.start : segment.end])
        scans += segment.marker == START_OF_SCAN
        if scans > MAX_SCANS:
            raise ImageTooComplex(f"The JPEG has more than {MAX_SCANS} scans; the limit is {MAX_SCANS}.")
        if len(segments) - scans - is_complete > MAX_SEGMENTS:
            raise ImageTooComplex(f"The JPEG has more than {MAX_SEGMENTS} segments; the limit is {MAX_SEGMENTS}.")
    return JpegStructure(tuple(segments), is_complete, scans, frame)


def iterate_segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of the first picture, its end marker last if it is there."""
    position = len(SIGNATURE)
    while True:
        marker, position = _read_marker(data, position)
        if marker is None:
            return
        if marker == END_OF_IMAGE:
            yield Segment(marker, position, position, position)
            return
        start, end = position, position + int.from_bytes(data[position : position + 2], "big")
        position = end
        if marker == START_OF_SCAN:
            following = _NEXT_MARKER.search(data, end)
            position = following.start() if following is not None else len(data)
        yield Segment(marker, start, end, position)


def _read_marker(data: bytes, position: int) -> tuple[int | None, int]:
    """Return the marker at a position and the position behind it; None if there is no marker."""
    if data[position : position + 1] != b"\xff":
        return None, position
    while data[position : position + 1] == b"\xff":
        position += 1
    return (data[position], position + 1) if position < len(data) else (None, position)


def _read_frame(marker: int, header: bytes) -> Frame | None:
    """Read a frame header: length, precision, height, width, and the components with their factors."""
    if len(header) < 8:
        return None
    factors = [(header[at] >> 4, header[at] & 15) for at in range(9, len(header), 3)]
    horizontal, vertical = (max((factor[axis] for factor in factors), default=0) for axis in (0, 1))
    samples = sum(h * v for h, v in factors) / (horizontal * vertical) if horizontal and vertical else 0.0
    height, width = int.from_bytes(header[3:5], "big"), int.from_bytes(header[5:7], "big")
    return Frame(marker, header[2], width, height, header[7], samples)
