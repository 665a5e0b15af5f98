"""Whether frames of a variable rate have the times at which they are shown."""

import asyncio
import tempfile
from typing import Any

import numpy as np

from app.ml.video.client import DecodingProcess
from app.ml.video.protocol import Orders
from benchmarks.albums.stage import Stage
from benchmarks.goals import at_most
from benchmarks.videos.film import Shot, make_film
from benchmarks.videos.speed import photo_of

_SECONDS = 120


def measure_times(stage: Stage) -> dict[str, Any]:
    """Decode a film whose frames are 4 to 76 ms apart, in parts, and compare with the times of the script."""
    shot = Shot("somebody", photo_of(stage), 0, _SECONDS, 0.3, 0.7)
    film = make_film([shot], _SECONDS, size=(640, 360), jitter=0.9, seed=3)
    with tempfile.TemporaryFile() as file:
        file.write(film.data)
        file.flush()
        found = asyncio.run(_decode(file.fileno()))
    shown = np.array(film.shown_ms)
    places = np.abs(shown[None, :] - np.array(found)[:, None])
    return {
        "frames": len(shown),
        "looked_at": len(found),
        "largest_error_ms": int(places.min(axis=1).max()),
        "goals": [at_most("times that are those of no frame", 0, int((places.min(axis=1) > 1).sum()), "frames")],
    }


async def _decode(file: int) -> list[int]:
    found: list[int] = []
    for begin_ms in range(0, _SECONDS * 1000, 10_000):
        async with DecodingProcess(file, Orders(file, begin_ms=begin_ms, end_ms=begin_ms + 10_000)) as process:
            found += [at_ms async for at_ms, _ in process.frames()]
    return found
