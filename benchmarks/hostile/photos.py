"""Analyze mutated photos in worker processes and measure each: its outcome, its processor time and its memory.

A worker that dies or hangs is replaced, and counted. Memory is the peak of the resident set above what the warmed-up
worker held before. Linux only.
"""

import multiprocessing
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from app.errors import AppError
from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.image import MEMORY_ABOVE_PIXELS, ImageLimits
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.goals import at_least, at_most
from benchmarks.hostile.mutations import FORMATS, LARGE_FORMATS, mutate, valid_photo
from benchmarks.serving import percentile

MAX_PROCESSOR_S = 2.0
"""Of one photo on one thread."""
MIN_PHOTOS = 5_000
_HANGS_AFTER_S = 60
_ADDRESS_SPACE_ABOVE = 2 << 30
"""Bytes; a photo that needs more fails with `MemoryError` instead of harming the machine."""
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo. `error` is a code of ours, `ok`, or `!` and what must not happen."""

    name: str
    seed: int
    done: str
    error: str
    processor_s: float = 0.0
    peak: float = 0.0


@dataclass
class Tally:
    """The outcomes by format, and everything that must not happen."""

    outcomes: list[Outcome] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return {name: self._describe(name) for name in FORMATS + LARGE_FORMATS}

    def failures(self) -> list[str]:
        return [
            f"{one.error} ({one.name}, seed {one.seed}: {one.done})" for one in self.outcomes if one.error[0] == "!"
        ]

    def count(self, prefix: str) -> int:
        return sum(one.error.startswith(prefix) for one in self.outcomes)

    def worst(self, measure: str) -> Outcome:
        return max(self.outcomes, key=lambda one: float(getattr(one, measure)))

    def _describe(self, name: str) -> dict[str, Any]:
        mine = [one for one in self.outcomes if one.name == name]
        times = [one.processor_s for one in mine]
        return {
            "photos": len(mine),
            "outcomes": dict(Counter(one.error for one in mine).most_common()),
            "processor time, s": {"p50": round(percentile(times, 0.5), 3), "max": round(max(times), 3)},
            "memory, MB": {"max": round(max(one.peak for one in mine) / _MB, 1)},
        }


def prove_photos(pack: Path, per_format: int, workers: int = 2) -> dict[str, Any]:
    """Analyze `per_format` mutations of every format, a tenth as many of large photos; returns figures and goals."""
    tally = Tally()
    jobs = [(name, seed) for seed in range(per_format) for name in FORMATS]
    jobs += [(name, seed) for seed in range(-(-per_format // 10)) for name in LARGE_FORMATS]
    with ThreadPoolExecutor(workers) as threads:
        for outcomes in threads.map(lambda share: list(_run(pack, share)), [jobs[i::workers] for i in range(workers)]):
            tally.outcomes += outcomes
    bound = max_bytes()
    slow, large = tally.worst("processor_s"), tally.worst("peak")
    return {
        "what": "mutated photos, analyzed in worker processes with the limits of the default settings",
        "formats": tally.describe(),
        "slowest": {"format": slow.name, "seed": slow.seed, "done": slow.done, "s": round(slow.processor_s, 3)},
        "largest": {"format": large.name, "seed": large.seed, "done": large.done, "MB": round(large.peak / _MB, 1)},
        "failures": tally.failures()[:50],
        "goals": [
            at_least("photos mutated", MIN_PHOTOS, len(tally.outcomes), "photos"),
            at_most("processes that crashed", 0, tally.count("!crash"), "photos"),
            at_most("processes that hung", 0, tally.count("!hang"), "photos"),
            at_most("errors outside the error tree", 0, tally.count("!error"), "photos"),
            at_most("processor time of one photo", MAX_PROCESSOR_S, round(slow.processor_s, 3), "s"),
            at_most(
                f"photos above {bound / _MB:.0f} MB, the documented bound",
                0,
                sum(one.peak > bound for one in tally.outcomes),
                "photos",
            ),
        ],
    }


def max_bytes() -> float:
    """Return the documented bound of decoding one photo under the default settings."""
    pixels = Settings.model_fields["max_image_pixels"].default
    return float(ImageLimits(0, pixels).max_decoded_bytes)


assert max_bytes() > MEMORY_ABOVE_PIXELS


def _run(pack: Path, jobs: Sequence[tuple[str, int]]) -> Iterator[Outcome]:
    worker = _Worker(pack)
    for name, seed in jobs:
        outcome = worker.analyze(name, seed)
        if outcome.error in ("!crash", "!hang"):
            worker.end()
            worker = _Worker(pack)
        yield outcome
    worker.end()


class _Worker:
    """A process that analyzes one photo after the other."""

    def __init__(self, pack: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, pack), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.recv()  # ready

    def analyze(self, name: str, seed: int) -> Outcome:
        done, data = mutate(name, seed)
        try:
            self._connection.send_bytes(data)
            if not self._connection.poll(_HANGS_AFTER_S):
                return Outcome(name, seed, done, "!hang", _HANGS_AFTER_S)
            error, processor_s, peak = self._connection.recv()
        except (EOFError, OSError):
            return Outcome(name, seed, done, "!crash")
        return Outcome(name, seed, done, error, processor_s, peak)

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


def _work(connection: Connection, pack: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        settings = {"model_pack": str(pack), "data_dir": directory, "inference_threads": 1}
        analyzer = build_analyzer(Settings.model_validate(settings))
        for name in FORMATS:
            analyzer.analyze(valid_photo(name), Embed.ALL)
        _limit_memory()
        connection.send(None)
        while True:
            connection.send(_analyze(analyzer, connection.recv_bytes()))


def _limit_memory() -> None:
    size = _status_bytes("VmSize") + _ADDRESS_SPACE_ABOVE
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _analyze(analyzer: FaceAnalyzer, data: bytes) -> tuple[str, float, float]:
    before = _status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    started = time.process_time()
    try:
        analyzer.analyze(data, Embed.ALL)
        error = "ok"
    except AppError as exc:
        error = exc.code
    except Exception as exc:  # noqa: BLE001 - that is what the proof looks for
        error = f"!error {type(exc).__name__}: {exc}"[:200]
    return error, time.process_time() - started, _status_bytes("VmHWM") - before


def _status_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


os.environ["ORT_DISABLE_TELEMETRY"] = "1"
