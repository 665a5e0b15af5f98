"""Videos of drawn people, as bytes: who is where at which time is given by a script."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group

SIZE = (640, 360)


@dataclass(frozen=True)
class Part:
    """Somebody who is seen from `begin_s` to `end_s`, while the face moves from one x to another."""

    seed: int
    begin_s: float
    end_s: float
    from_x: int = 150
    to_x: int = 150
    take: int = 0


def draw(parts: Sequence[Part], at_s: float, size: tuple[int, int] = SIZE) -> Image.Image:
    """The frame of a script at a time."""
    people = []
    for part in parts:
        if part.begin_s <= at_s < part.end_s:
            share = (at_s - part.begin_s) / (part.end_s - part.begin_s)
            x = round(part.from_x + share * (part.to_x - part.from_x))
            look = Variation.random(np.random.default_rng(1000 * part.seed + part.take)) if part.take else Variation()
            people.append((Person(part.seed), Placement(x, size[1] // 2, 120), look))
    return draw_group(people, size)[0]


def film(
    parts: Sequence[Part],
    seconds: float,
    *,
    per_second: int = 10,
    container: str = "mp4",
    codec: str = "libx264",
    times: Callable[[int], float] | None = None,
    size: tuple[int, int] = SIZE,
    keyframe_s: float = 1.0,
    **options: Any,
) -> bytes:
    """Encode a script. `times` gives the time of each frame by its number; None: evenly."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=per_second)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size = max(1, round(per_second * keyframe_s))
        for name, value in options.items():
            setattr(stream.codec_context, name, value)
        count = round(seconds * per_second)
        last = -1.0
        for number in range(count):
            at_s = number / per_second if times is None else times(number)
            if at_s <= last or at_s >= seconds:
                continue
            last = at_s
            frame = av.VideoFrame.from_ndarray(np.asarray(draw(parts, at_s, size)), format="rgb24")
            frame.pts, frame.time_base = round(at_s * 1000), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return buffer.getvalue()
