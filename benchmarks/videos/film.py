"""Film photos of people by a script: pans, zooms, cuts, two who cross; who is where at which time is known."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

_FACE = 0.36
"""A face's width as a share of an LFW photo's."""
_MS = 1000


@dataclass(frozen=True)
class Shot:
    """Somebody's photo on the screen for a while; places are shares of the frame, sizes of its height."""

    person: str
    photo: Path
    begin_s: float
    end_s: float
    from_x: float
    to_x: float
    from_side: float = 0.7
    to_side: float = 0.7

    def at(self, at_s: float) -> tuple[float, float] | None:
        """Return the center's x and the photo's side at a time; None if it is not shown."""
        if not self.begin_s <= at_s < self.end_s:
            return None
        share = (at_s - self.begin_s) / (self.end_s - self.begin_s)
        return self.from_x + share * (self.to_x - self.from_x), self.from_side + share * (self.to_side - self.from_side)

    def has_face(self, at_s: float, x: float, aspect: float) -> bool:
        """Return whether a face's center at x (a share of the frame's width) may be this one."""
        place = self.at(at_s)
        return place is not None and abs(place[0] - x) <= _FACE * place[1] / aspect


@dataclass(frozen=True)
class Film:
    """A video, its length, and who was shown when."""

    data: bytes
    seconds: float
    shots: list[Shot]
    shown_ms: list[int]
    """The time of each frame."""
    aspect: float


def make_film(
    shots: Sequence[Shot],
    seconds: float,
    *,
    size: tuple[int, int] = (1280, 720),
    per_second: float = 25,
    jitter: float = 0.0,
    seed: int = 0,
    keyframe_s: float = 2.0,
) -> Film:
    """Encode a script as H.264 in MP4; `jitter` is how much the distance of frames varies (0..1)."""
    rng, buffer = np.random.default_rng(seed), io.BytesIO()
    times = list(_times(seconds, per_second, jitter, rng))
    photos: dict[Path, Image.Image] = {}
    background = Image.fromarray((rng.random((size[1] // 8, size[0] // 8, 3)) * 60 + 90).astype(np.uint8)).resize(size)
    with av.open(buffer, "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=round(per_second))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "20"}
        stream.codec_context.time_base = stream.time_base = Fraction(1, _MS)
        stream.codec_context.gop_size = round(per_second * keyframe_s)
        for at_s in times:
            picture = background.copy()
            for shot in shots:
                if (place := shot.at(at_s)) is not None:
                    photo = photos.setdefault(shot.photo, Image.open(shot.photo).convert("RGB"))
                    _paste(picture, photo, *place)
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(at_s * _MS), Fraction(1, _MS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return Film(buffer.getvalue(), seconds, list(shots), [round(at_s * _MS) for at_s in times], size[0] / size[1])


def _times(seconds: float, per_second: float, jitter: float, rng: np.random.Generator) -> Iterator[float]:
    at_s = 0.0
    while at_s < seconds:
        yield round(at_s, 3)
        at_s += max(0.002, (1 + jitter * rng.uniform(-1, 1)) / per_second)


def _paste(picture: Image.Image, photo: Image.Image, x: float, side: float) -> None:
    pixels = round(side * picture.height)
    left, top = round(x * picture.width - pixels / 2), (picture.height - pixels) // 2
    picture.paste(photo.resize((pixels, pixels)), (left, top))
