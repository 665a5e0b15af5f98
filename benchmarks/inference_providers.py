"""Measure how fast the networks of a pack run, by provider and precision, and what a second thread or process gains.

    .venv/bin/python -m benchmarks.inference_providers --pack DIR [--out FILE]

One thread: medians of repeated runs of the detector, by input size, and of the recognizer on one face. The
configurations alternate, so that a busy moment of the machine affects all of them.

Two threads: runs per second of threads that share a session, and of processes with one thread each. They run with the
options of Vultus and with OpenVINO's defaults, which are one stream bound to a core.

Compare figures of the same run only. Similarities are between embeddings of the same crops.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from app.ml.arcface import ArcFace
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import ModelPack
from app.ml.providers import OPENVINO
from app.ml.scrfd import Scrfd
from app.ml.sessions import Runtime
from benchmarks.machine import describe_run

SHAPES = {
    "160x160": (160, 160),
    "256x256": (256, 256),
    "320x320": (320, 320),
    "640x480": (640, 480),
    "640x640": (640, 640),
}
ROUNDS = 15
WINDOW_S = 2.0
TURNS = 3
"""Runs per second are the median of `TURNS` windows of `WINDOW_S`."""
TIMEOUT_S = 120
TOGETHER_SHAPE = (320, 320)
THRESHOLD = 0.5

STREAM_MODES = {"one stream, pinned (OpenVINO's default)": True, "one stream per thread, not pinned (Vultus)": False}
TOGETHER = {"one thread": (1, 1), "two threads of one process": (1, 2), "two processes of one thread": (2, 1)}

Networks = tuple[Scrfd, ArcFace]
Seconds = tuple[float, float]
Rates = dict[str, float]
"""Runs per second, by network and input."""


class OpenVinoRuntime(Runtime):
    """OpenVINO with the options of Vultus, but in a chosen precision and optionally bound to cores."""

    def __init__(self, *, precision: str | None = None, threads: int = 1, is_pinned: bool = False) -> None:
        super().__init__(providers="openvino", threads=threads)
        (name, options), *rest = self._chosen
        config = json.loads(options["load_config"])
        if precision is not None:
            config["CPU"]["INFERENCE_PRECISION_HINT"] = self.precision = precision
        if is_pinned:
            config["CPU"].pop("ENABLE_CPU_PINNING", None)
            options = {key: value for key, value in options.items() if key != "num_streams"} | {"num_of_threads": "1"}
        self._chosen = [(name, options | {"load_config": json.dumps(config)}), *rest]


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Time the networks of a pack by provider.")
    parser.add_argument("--pack", required=True, help="a pack's directory or name")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pack = find_pack(arguments.pack)
    configurations = {name: open_networks(pack, runtime) for name, runtime in _runtimes().items()}
    result = {
        "what": "medians of one call on one thread; runs per second of two threads and of two processes",
        "pack": {"name": pack.name, "recognizer": pack.recognizer},
        **describe_run(),
        "onnxruntime": onnxruntime.__version__,
        "rounds": ROUNDS,
        "wall ms / processor ms": time_calls(configurations),
        "smallest cosine to the embeddings of the first configuration": _compare_embeddings(configurations),
    }
    if _has_openvino():
        result["runs per second"] = _count_together(arguments.pack)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def find_pack(name: str) -> ModelPack:
    """Find and verify a pack by its directory or name, with a temporary data directory."""
    with tempfile.TemporaryDirectory() as directory:
        return PackLibrary(cache=Path("~/.insightface"), data_dir=Path(directory)).find(name)


def open_networks(pack: ModelPack, runtime: Runtime) -> Networks:
    """Open detector and recognizer as the engine does."""
    return Scrfd(runtime.open(pack.detection)), ArcFace(runtime.open(pack.recognition), pack.recognition.path)


def _has_openvino() -> bool:
    return OPENVINO in onnxruntime.get_available_providers()


def _runtimes() -> dict[str, Runtime]:
    runtimes = {"cpu, f32": Runtime(providers="cpu")}
    if _has_openvino():
        runtimes["openvino, f32"] = OpenVinoRuntime(precision="f32")
        runtimes["openvino, bf16"] = OpenVinoRuntime(precision="bf16")
    return runtimes


def _picture(size: tuple[int, int]) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 255, (size[1] // 16, size[0] // 16, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


def _crops() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.asarray(cv2.resize(rng.integers(0, 255, (14, 14, 3), np.uint8), (112, 112))) for _ in range(8)]


def _works(networks: Networks, shapes: dict[str, tuple[int, int]]) -> dict[str, Callable[[], Any]]:
    (detector, recognizer), crop = networks, _crops()[0]
    works: dict[str, Callable[[], Any]] = {
        f"detect {label}": partial(detector.detect, _picture(size), THRESHOLD) for label, size in shapes.items()
    }
    return works | {"recognize one face": partial(recognizer.embed, [crop])}


def time_calls(
    configurations: dict[str, Networks], shapes: dict[str, tuple[int, int]] = SHAPES
) -> dict[str, dict[str, str]]:
    """Return medians as "wall ms / processor ms", by configuration and call; one thread, alternating configurations."""
    works = {name: _works(networks, shapes) for name, networks in configurations.items()}
    samples: dict[str, dict[str, list[Seconds]]] = {
        name: {label: [] for label in calls} for name, calls in works.items()
    }
    for turn in range(ROUNDS + 2):
        for name, calls in works.items():
            for label, work in calls.items():
                work()  # a change of shape takes extra time; the engine has a separate session for the small input
                took = _timed(work)
                if turn >= 2:  # the first turns compile kernels and grow arenas
                    samples[name][label].append(took)
    return {
        name: {label: " / ".join(_medians(values)) for label, values in calls.items()}
        for name, calls in samples.items()
    }


def _timed(work: Callable[[], Any]) -> Seconds:
    """Return wall-clock seconds, and seconds of processor time of all threads."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - busy


def _medians(values: list[Seconds]) -> list[str]:
    return [f"{statistics.median(column) * 1000:.1f}" for column in zip(*values, strict=True)]


def _compare_embeddings(configurations: dict[str, Networks]) -> dict[str, float]:
    crops = _crops()
    embeddings = {
        name: np.stack([recognizer.embed([crop])[0] for crop in crops])
        for name, (_, recognizer) in configurations.items()
    }
    reference = next(iter(embeddings.values()))
    return {name: round(float((vectors * reference).sum(axis=1).min()), 5) for name, vectors in embeddings.items()}


def _together(networks: Networks) -> dict[str, Callable[[], Any]]:
    (detector, recognizer), picture, crop = networks, _picture(TOGETHER_SHAPE), _crops()[0]
    return {
        f"detect {TOGETHER_SHAPE[0]}x{TOGETHER_SHAPE[1]}": partial(detector.detect, picture, THRESHOLD),
        "recognize one face": partial(recognizer.embed, [crop]),
    }


def _count_together(pack: str) -> dict[str, dict[str, Any]]:
    samples: dict[str, dict[str, list[Rates]]] = {name: {label: [] for label in TOGETHER} for name in STREAM_MODES}
    bound: dict[str, set[str]] = {name: set() for name in STREAM_MODES}
    for _ in range(TURNS):
        for name, is_pinned in STREAM_MODES.items():
            for label, (processes, threads) in TOGETHER.items():
                rates, cores = _count_once(pack, processes, threads, is_pinned=is_pinned)
                samples[name][label].append(rates)
                bound[name] |= cores
    return {
        name: {
            "runs were bound to core": ", ".join(sorted(bound[name])) or "none",
            **{
                label: {work: round(statistics.median(rates[work] for rates in taken), 1) for work in taken[0]}
                for label, taken in by_setup.items()
            },
        }
        for name, by_setup in samples.items()
    }


def _count_once(pack: str, processes: int, threads: int, *, is_pinned: bool) -> tuple[Rates, set[str]]:
    # Use separate processes: the sessions of one process share OpenVINO's threads, whether bound or not.
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_run_in_process, args=(pack, threads, is_pinned, ready, results))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    measured: list[tuple[Rates, set[str]]] = [results.get(timeout=TIMEOUT_S) for _ in workers]
    for worker in workers:
        worker.join()
    rates = {work: sum(rates[work] for rates, _ in measured) for work in measured[0][0]}
    return rates, set().union(*(cores for _, cores in measured))


def _run_in_process(pack: str, threads: int, is_pinned: bool, ready: Any, results: Any) -> None:
    works = _together(open_networks(find_pack(pack), OpenVinoRuntime(threads=threads, is_pinned=is_pinned)))
    rates, cores = {}, set()
    for label, work in works.items():
        work()
        ready.wait()
        rates[label], bound = _count_runs(work, threads)
        cores |= bound
    results.put((rates, cores))


def _count_runs(work: Callable[[], Any], threads: int) -> tuple[float, set[str]]:
    """Return runs per second, and the cores to which threads were bound if the process may use more."""
    done = [0] * threads
    until = time.perf_counter() + WINDOW_S

    def repeat(index: int) -> None:
        while time.perf_counter() < until:
            work()
            done[index] += 1

    runners = [threading.Thread(target=repeat, args=(index,)) for index in range(threads)]
    for runner in runners:
        runner.start()
    allowed, bound = _cores_of("/proc/self"), set[str]()
    while time.perf_counter() < until and allowed:
        bound |= {_cores_of(str(task)) for task in Path("/proc/self/task").iterdir()} - {allowed, ""}
        time.sleep(0.02)
    for runner in runners:
        runner.join()
    return sum(done) / WINDOW_S, bound


def _cores_of(task: str) -> str:
    try:
        status = Path(task, "status").read_text()
    except OSError:  # not Linux, or a thread that has ended
        return ""
    return status.partition("Cpus_allowed_list:")[2].split("\n", 1)[0].strip()


if __name__ == "__main__":
    main()
