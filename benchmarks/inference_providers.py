"""How fast one inference thread runs a pack's two networks, by provider and by how the detector's sessions are made.

    .venv/bin/python -m benchmarks.inference_providers --pack DIR [--out FILE]

Every figure is the median of repeated runs, the ways taking turns so that a busy moment of the machine hits all of them
alike. Compare within one run only. Similarities are between the embeddings of the same crops.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from insightface.model_zoo import get_model

from app.ml.packs import PackLibrary
from app.ml.providers import choose_providers
from app.ml.sessions import session_options
from benchmarks.machine import describe_run

warnings.simplefilter("ignore")

SHAPES = {"160x160": (160, 160), "320x320": (320, 320), "640x480": (640, 480), "640x640": (640, 640)}
ROUNDS = 15


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Time the networks of a pack by provider.")
    parser.add_argument("--pack", required=True, help="a pack's directory or name")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pack = PackLibrary(cache=Path("~/.insightface"), data_dir=Path("data")).find(arguments.pack)
    detection, recognition = str(pack.detection.path), str(pack.recognition.path)

    ways: dict[str, tuple[Any, Any]] = {}
    for name, wanted, is_static in (
        ("cpu, one dynamic session", "cpu", False),
        ("cpu, a session a shape", "cpu", True),
        ("openvino, one dynamic session (Vultus)", "openvino", False),
        ("openvino, a session a shape (insightface's default)", "openvino", True),
    ):
        if wanted == "openvino" and "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers():
            continue
        chosen = choose_providers(wanted)
        load = {
            "providers": [provider for provider, _ in chosen],
            "provider_options": [options for _, options in chosen],
            "sess_options": session_options(),
        }
        ways[name] = (get_model(detection, static_shape_sessions=is_static, **load), get_model(recognition, **load))

    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (1280, 960), interpolation=cv2.INTER_CUBIC)
    crops = [cv2.resize(rng.integers(0, 255, (14, 14, 3), np.uint8), (112, 112)) for _ in range(8)]
    samples: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in ways}
    for turn in range(ROUNDS + 2):
        for name, (detector, recognizer) in ways.items():
            for label, shape in SHAPES.items():
                took = _timed(lambda d=detector, s=shape: d.detect(picture, input_size=[s]))
                samples[name].setdefault(f"detect {label}", []).append(took)
            took = _timed(lambda r=recognizer: r.get_feat([crops[0]]))
            samples[name].setdefault("recognise one face", []).append(took)
        if turn == 1:
            for measured in samples.values():
                for values in measured.values():
                    values.clear()  # warm-up: compiling kernels, growing arenas

    embeddings = {name: np.stack([_unit(r.get_feat([crop])[0]) for crop in crops]) for name, (_, r) in ways.items()}
    reference = next(iter(embeddings.values()))
    result = {
        "what": "medians of one call, the sessions asked for one thread each",
        "pack": {"name": pack.name, "recogniser": pack.recognizer},
        **describe_run(),
        "onnxruntime": onnxruntime.__version__,
        "rounds": ROUNDS,
        "wall ms / processor ms": {
            name: {label: " / ".join(_medians(values)) for label, values in measured.items()}
            for name, measured in samples.items()
        },
        "smallest cosine to the first way's embeddings": {
            name: round(float((vectors * reference).sum(axis=1).min()), 5) for name, vectors in embeddings.items()
        },
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def _timed(work: Any) -> tuple[float, float]:
    """Seconds on the clock, and seconds of processor time of all threads."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - busy


def _medians(values: list[tuple[float, float]]) -> list[str]:
    return [f"{statistics.median(column) * 1000:.1f}" for column in zip(*values, strict=True)]


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


if __name__ == "__main__":
    main()
