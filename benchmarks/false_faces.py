"""Count the false faces in photos without people: found at all, and good enough to be registered.

    python -m benchmarks.false_faces --photos DIR --pack DIR [--crops 14] [--out FILE]

The photos must show nobody, such as landscapes, plants and drawings: for the committed result, the backgrounds of
Debian's packages `gnome-backgrounds`, `mate-backgrounds`, `plasma-workspace-wallpapers`, `lxqt-themes`, `desktop-base`,
`lomiri-wallpapers-*` and `ukui-wallpapers`. Each gives several random crops. A face is acceptable if it passes every
check of registration, the quality score included.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.goals import at_most
from benchmarks.machine import describe_run

MIN_SIDE, MAX_SIDE = 250, 1200
LARGEST_INPUT = 640
MAX_ACCEPTABLE = 1.0
"""Acceptable false faces per 1,000 photos."""


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Count false faces in photos without people.")
    parser.add_argument("--photos", type=Path, required=True, help="a directory of photos that show nobody")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--crops", type=int, default=14, help="random crops of each photo")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = sorted(file for file in arguments.photos.iterdir() if file.suffix.lower() in (".jpg", ".png"))
    with tempfile.TemporaryDirectory() as directory:
        settings = {"model_pack": str(arguments.pack.resolve()), "data_dir": directory}
        analyzer = build_analyzer(Settings.model_validate(settings))
        counts = _count(analyzer, files, arguments.crops)
    acceptable = 1000 * counts["acceptable"] / max(1, counts["photos"])
    result = {
        "what": "false faces in random crops of photos without people",
        **describe_run(),
        "pack": arguments.pack.name,
        "files": len(files),
        **counts,
        "found per 1,000 photos": round(1000 * counts["found"] / max(1, counts["photos"]), 2),
        "acceptable per 1,000 photos": round(acceptable, 2),
        "goals": [at_most("acceptable false faces", MAX_ACCEPTABLE, round(acceptable, 2), "per 1,000 photos")],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _count(analyzer: FaceAnalyzer, files: list[Path], crops: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    counts, refused = Counter[str](), Counter[str]()
    for file in files:
        picture = np.asarray(cv2.imread(str(file)), dtype=np.uint8)
        for _ in range(crops):
            counts["photos"] += 1
            data = cv2.imencode(".jpg", random_crop(picture, rng), [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
            for face in analyzer.analyze(data, Embed.ALL).faces:
                counts["found"] += 1
                counts["found in a turn"] += face.rotation != 0
                counts["unreliable"] += not face.quality.is_reliable
                counts["acceptable"] += face.quality.is_acceptable
                refused.update(finding.reason.value for finding in face.quality.findings)
    return {**counts, "acceptable": counts["acceptable"], "found": counts["found"], "reasons": dict(refused)}


def random_crop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a random square out of a BGR picture, scaled down to the detector's largest input if it is larger."""
    height, width = picture.shape[:2]
    side = int(rng.integers(MIN_SIDE, min(MAX_SIDE, height, width) + 1))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    crop = picture[top : top + side, left : left + side]
    if side > LARGEST_INPUT:
        crop = cv2.resize(crop, (LARGEST_INPUT, LARGEST_INPUT), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, dtype=np.uint8)


if __name__ == "__main__":
    main()
