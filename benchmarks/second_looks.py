"""Count the faces that a second look at small photos finds, and the photos that are looked at a second time.

    python -m benchmarks.second_looks --photos DIR --pack DIR [--out FILE]

Each photo is searched in both passes. The faces of the first pass alone, of both, and of the second only where the
first leaves doubts are counted from the same runs.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

from app.domain.faces import Detail
from app.ml.detail import plan_passes
from app.ml.image import ImageLimits, open_photo
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.scrfd import DOUBT_SCORE, leaves_doubt, merge
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.goals import at_least
from benchmarks.machine import describe_run

_LIMITS = ImageLimits(max_bytes=1 << 24, max_pixels=1 << 24)
_MIN_FACE_PIXELS = 40


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Count what a second look finds.")
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = sorted(arguments.photos.glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as directory:
        settings = {"model_pack": str(arguments.pack.resolve()), "data_dir": directory, "inference_threads": 1}
        engine = build_analyzer(Settings.model_validate(settings)).engine
        assert isinstance(engine, InsightFaceEngine)
        counts = _count(engine, files)
    result = {
        "what": "faces of small photos by the passes that are run",
        **describe_run(),
        "pack": arguments.pack.name,
        **counts,
        "goals": [at_least("faces found, of those of both passes", 1, counts["chosen"] / counts["both"], "share")],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _count(engine: InsightFaceEngine, files: list[Path]) -> Counter[str]:
    counts = Counter[str](photos=len(files))
    threshold = engine.info.detection_threshold
    for file in files:
        photo = open_photo(file.read_bytes(), _LIMITS)
        first, second = plan_passes(photo.width, photo.height, Detail.STANDARD, _MIN_FACE_PIXELS)
        raw = engine._run_pass(photo, first, DOUBT_SCORE)
        is_certain = raw.scores >= threshold
        seen, again = raw.select(is_certain), engine._run_pass(photo, second, threshold)
        is_doubtful = leaves_doubt(raw, is_certain)
        counts["looked at twice"] += is_doubtful
        counts["first"] += len(merge([seen]))
        counts["both"] += len(both := merge([seen, again]))
        counts["chosen"] += len(both) if is_doubtful else len(merge([seen]))
    return counts


if __name__ == "__main__":
    main()
