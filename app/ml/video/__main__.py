"""The decoding process: `python -m app.ml.video`. It reads orders from its first argument and answers on its output."""

import os
import sys
from dataclasses import asdict

from app.ml.video.frames import VideoProblem, probe, sample
from app.ml.video.protocol import END, FACTS, PROBLEM, Orders, write_frame, write_json
from app.ml.video.sandbox import confine

_PROCESSOR_S = 900
"""A part of a minute takes seconds; an hour by keyframes half a minute."""


def main() -> None:
    orders = Orders.decode(sys.argv[1])
    file = os.fdopen(orders.file, "rb")
    out = sys.stdout.buffer
    confine(processor_s=_PROCESSOR_S)
    try:
        if orders.probe:
            write_json(out, FACTS, asdict(probe(file, orders)))
        else:
            for at_ms, picture in sample(file, orders):
                write_frame(out, at_ms, picture)
        write_json(out, END, {})
    except VideoProblem as exc:
        write_json(out, PROBLEM, {"code": exc.code, "detail": exc.detail})
    except MemoryError:
        write_json(out, PROBLEM, {"code": "video_too_complex", "detail": "Decoding the video takes too much memory."})
    out.flush()


if __name__ == "__main__":
    main()
