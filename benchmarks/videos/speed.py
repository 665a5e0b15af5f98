"""How fast a worker is against a bare loop that decodes and analyzes, and what the decoding process needs."""

import asyncio
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.video.client import DecodingProcess
from app.ml.video.protocol import Orders
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.albums.stage import Stage
from benchmarks.goals import at_least, at_most
from benchmarks.videos.film import Film, Shot, make_film
from benchmarks.videos.sending import send_and_wait

SECONDS = 180
_HOUR_S = 3_600
_LONG_S = 6 * _HOUR_S
_MAX_MIB = 400


def measure_speed(stage: Stage) -> dict[str, Any]:
    """Process three minutes of 1080p30 with two people, by a worker that gives way to nothing and by a bare loop."""
    film = _film(stage)
    analyzer = _load(stage)
    with tempfile.TemporaryFile() as file:
        file.write(film.data)
        file.flush()
        asyncio.run(_run_bare(analyzer, file.fileno(), 10))
        bare_s = asyncio.run(_run_bare(analyzer, file.fileno(), SECONDS))
    with stage.serving() as api, stage.working("--nice", "0") as worker, _Largest(worker.pid) as largest:
        tenant = stage.new_tenant(api)
        client = httpx.Client(base_url=api, headers=tenant.headers, timeout=300)
        client.post("/albums", json={"id": "films"}).raise_for_status()
        began = time.perf_counter()
        send_and_wait(client, "films", "speed.mp4", film.data)
        worker_s = time.perf_counter() - began
    hour_min = worker_s * _HOUR_S / SECONDS / 60
    return {
        "seconds": SECONDS,
        "size": [1920, 1080],
        "frames_per_second": 30,
        "megabit_per_s": round(len(film.data) * 8 / SECONDS / 1e6, 1),
        "bare_s": round(bare_s, 1),
        "worker_s": round(worker_s, 1),
        "decoding_process_mib": round(largest.mib),
        "goals": [
            at_most("an hour of 1080p30 at 2 frames a second, from three minutes", 15, round(hour_min, 2), "min"),
            at_least("a worker against a bare loop on the same cores", 0.85, round(bare_s / worker_s, 3), "share"),
            at_most("memory of the decoding process, 1080p", _MAX_MIB, round(largest.mib), "MiB"),
        ],
    }


def measure_long_video(stage: Stage) -> dict[str, Any]:
    """Decode parts at the beginning, the middle and the end of six hours, and note the largest memory of each."""
    shot = _shots(stage)[0]
    film = make_film([shot], _LONG_S, size=(320, 180), per_second=1, keyframe_s=10)
    largest = []
    with tempfile.TemporaryFile() as file:
        file.write(film.data)
        file.flush()
        for begin_s in (0, _LONG_S // 2, _LONG_S - 60):
            largest.append(asyncio.run(_decode(file.fileno(), begin_s * 1000)))
    return {
        "hours": _LONG_S / _HOUR_S,
        "mib": [round(one) for one in largest],
        "goals": [at_most("memory of the decoding process over six hours", _MAX_MIB, round(max(largest)), "MiB")],
    }


async def _decode(file: int, begin_ms: int) -> float:
    with _Largest(os.getpid()) as largest:
        async with DecodingProcess(file, Orders(file, begin_ms=begin_ms, end_ms=begin_ms + 60_000)) as process:
            async for _ in process.frames():
                pass
    return largest.mib


async def _run_bare(analyzer: FaceAnalyzer, file: int, seconds: float) -> float:
    """Return how long it takes to decode and analyze a part, with a thread for each core."""
    loop, threads = asyncio.get_running_loop(), os.cpu_count() or 1
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        running: list[asyncio.Future[Any]] = []
        async with DecodingProcess(file, Orders(file, end_ms=round(seconds * 1000))) as process:
            async for _, picture in process.frames():
                running.append(loop.run_in_executor(pool, analyzer.analyze, picture, Embed.ALL))
                if len(running) > threads:
                    await running.pop(0)
        await asyncio.gather(*running)
    return time.perf_counter() - began


class _Largest:
    """Notes the largest memory of the decoding processes below a process, in MiB."""

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Largest":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            for child in self._process.children(recursive=True):
                try:
                    if "app.ml.video" in child.cmdline():
                        self.mib = max(self.mib, child.memory_info().rss / 2**20)
                except psutil.Error:
                    continue


def _load(stage: Stage) -> FaceAnalyzer:
    pack = str(stage.inputs.pack.resolve()) if stage.inputs.pack else "synthetic"
    return build_analyzer(Settings(data_dir=stage.directory, model_pack=pack, secret_key=None))


def _shots(stage: Stage) -> list[Shot]:
    assert stage.inputs.photos is not None, "needs real faces: --photos and --pack"
    photos = sorted(stage.inputs.photos.glob("*/*.jpg"))[:400:4]
    places = ((0.7, 0.65), (0.3, 0.35))
    return [
        Shot(f"person-{number}", photo, 6.0 * (number // 2), 6.0 * (number // 2 + 1), *places[number % 2])
        for number, photo in enumerate(photos[: SECONDS // 3])
    ]


def _film(stage: Stage) -> Film:
    return make_film(_shots(stage), SECONDS, size=(1920, 1080), per_second=30)


def photo_of(stage: Stage) -> Path:
    """Return one of the photos."""
    return _shots(stage)[0].photo
