"""Are people found in photos that lie on their side or upside down, and what does looking cost upright photos?

    python -m benchmarks.turned_photos --photos DIR --pack DIR [--people 120] [--out FILE]

Each photo is turned without an EXIF orientation and compared with itself upright. The cost is processor time of upright
photos, analyzed in turn with and without the search of other turns.
"""

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from app.domain.faces import Analysis
from app.ml import analysis
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.goals import at_least, at_most
from benchmarks.machine import describe_run

TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
"""What a camera stores, by the clockwise rotation that makes it upright."""

MIN_FOUND = 110 / 120
MAX_COST = 1.02
_ROUNDS = 3


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Search for people in turned photos.")
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--people", type=int, default=120, help="people whose photos are turned")
    parser.add_argument("--upright", type=int, default=600, help="people whose upright photos are timed")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    folders = sorted(folder for folder in arguments.photos.iterdir() if folder.is_dir())
    order = np.random.default_rng(0).permutation(len(folders))
    photos, upright = (
        [np.asarray(cv2.imread(str(min(folders[index].glob("*.jpg")))), np.uint8) for index in order[:count]]
        for count in (arguments.people, arguments.upright)
    )
    with tempfile.TemporaryDirectory() as directory:
        settings = {"model_pack": str(arguments.pack.resolve()), "data_dir": directory, "inference_threads": 1}
        analyzer = build_analyzer(Settings.model_validate(settings))
        rows = {rotation: _find(analyzer, photos, rotation) for rotation in TURNS}
        cost = _measure_cost(analyzer, [_encode(photo) for photo in upright])
    result = {
        "what": "people of turned photos found as in the upright photo, and the cost for upright photos",
        **describe_run(),
        "pack": arguments.pack.name,
        "photos": len(photos),
        "upright photos timed": len(upright),
        "turned": rows,
        "processor time of upright photos, against one look": cost,
        "goals": [
            *(
                at_least(f"turned by {rotation} degrees: found", MIN_FOUND, row["match"] / len(photos), "share")
                for rotation, row in rows.items()
            ),
            at_most("processor time of upright photos", MAX_COST, cost, "of one look"),
        ],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _find(analyzer: FaceAnalyzer, photos: list[np.ndarray], rotation: int) -> dict[str, int]:
    """Count the turned photos whose largest face matches the upright one, and those whose turn is told."""
    threshold = analyzer.engine.info.threshold
    counts = {"match": 0, "rotation told": 0, "without a face": 0}
    for photo in photos:
        upright = analyzer.analyze(_encode(photo), Embed.LARGEST)
        turned = analyzer.analyze(_encode(np.asarray(cv2.rotate(photo, TURNS[rotation]))), Embed.LARGEST)
        counts["match"] += _is_match(upright, turned, threshold)
        counts["rotation told"] += bool(turned.faces) and turned.faces[0].rotation == rotation
        counts["without a face"] += not turned.faces
    return counts


def _is_match(upright: Analysis, turned: Analysis, threshold: float) -> bool:
    if not upright.embeddings or not turned.embeddings:
        return False
    return float(upright.embeddings[0] @ turned.embeddings[0]) >= threshold


def _measure_cost(analyzer: FaceAnalyzer, photos: list[bytes]) -> float:
    """Processor time of all photos with the search of other turns, as a share of that without; the median round."""
    ratios = []
    for _ in range(_ROUNDS):
        spent: dict[bool, float] = {True: 0.0, False: 0.0}
        for index, photo in enumerate(photos):
            for looks in (True, False) if index % 2 else (False, True):  # whichever comes second finds warm caches
                spent[looks] += _time(analyzer, photo, looks=looks)
        ratios.append(spent[True] / spent[False])
    return round(float(np.median(ratios)), 4)


def _time(analyzer: FaceAnalyzer, photo: bytes, *, looks: bool) -> float:
    def is_upright(*_: Any) -> bool:
        return True

    with contextlib.ExitStack() as stack:
        if not looks:
            for name in ("may_be_upright", "_is_surely_upright"):
                stack.enter_context(mock.patch.object(analysis, name, is_upright))
        started = time.process_time()
        analyzer.analyze(photo, Embed.LARGEST)
        return time.process_time() - started


def _encode(photo: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


if __name__ == "__main__":
    main()
