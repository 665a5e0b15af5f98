"""Measure how often damaged JPEGs are refused, and that undamaged ones are not.

    python -m benchmarks.damaged_jpegs --photos DIR --pack DIR [--damaged 300] [--out FILE]

Changes 1, 3 or 10 random bytes of a photo's coded data and looks for faces. A photo that is not refused is harmful if
its largest face is acceptable but does not match the undamaged photo at the pack's threshold. The cost is the
processor time of the search for impossible averages, as a share of the whole analysis.
"""

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from app.errors import ImageTruncated
from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.jpeg_damage import has_impossible_averages, may_hide_damage
from app.ml.jpeg_structure import START_OF_SCAN, iterate_segments
from app.ml.pixels import Pixels
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.goals import at_least, at_most
from benchmarks.machine import describe_run

QUALITIES = (30, 60, 75, 85, 92, 96)
DAMAGED_BYTES = (1, 3, 10)
MIN_REFUSED = 0.99
"""Share of photos with ten damaged bytes."""
MAX_HARMFUL = 0.01
MAX_COST = 0.02


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure how often damaged JPEGs are refused.")
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--damaged", type=int, default=300, help="photos to damage")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    photos = [file.read_bytes() for file in sorted(arguments.photos.glob("*/*.jpg"))]
    random.Random(0).shuffle(photos)
    undamaged = _count_refused_undamaged(photos)
    with tempfile.TemporaryDirectory() as directory:
        settings = {"model_pack": str(arguments.pack.resolve()), "data_dir": directory, "inference_threads": 1}
        analyzer = build_analyzer(Settings.model_validate(settings))
        rows = {count: _damage_all(analyzer, photos[: arguments.damaged], count) for count in DAMAGED_BYTES}
        cost = _measure_cost(analyzer, photos[: arguments.damaged])
    worst = rows[DAMAGED_BYTES[-1]]
    result = {
        "what": "JPEGs with changed bytes that are refused, and undamaged ones that are",
        **describe_run(),
        "pack": arguments.pack.name,
        "undamaged": undamaged,
        "photos damaged": min(len(photos), arguments.damaged),
        "by damaged bytes": rows,
        "search for impossible averages": {"share of the analysis": cost},
        "goals": [
            at_most("undamaged photos refused", 0, undamaged["refused"], "photos"),
            at_least("ten damaged bytes: refused", MIN_REFUSED, worst["refused"] / worst["photos"], "share"),
            at_most("ten damaged bytes: harmful", MAX_HARMFUL, worst["harmful"] / worst["photos"], "share"),
            at_most("processor time of the search for impossible averages", MAX_COST, cost, "share of the analysis"),
        ],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _count_refused_undamaged(photos: list[bytes]) -> dict[str, int]:
    """Look at all photos as they are, and at every tenth in each quality, baseline and progressive."""
    files = list(photos)
    for photo in photos[::10]:
        picture = _decode(photo)
        for quality in QUALITIES:
            for progressive in (0, 1):
                options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
                files.append(cv2.imencode(".jpg", picture, options)[1].tobytes())
    return {
        "photos": len(files),
        "refused": sum(has_impossible_averages(file, iterate_segments(file)) for file in files),
    }


def _damage_all(analyzer: FaceAnalyzer, photos: list[bytes], count: int) -> dict[str, int]:
    counts = Counter[str](photos=len(photos))
    for index, photo in enumerate(photos):
        damaged = _damage(photo, count, random.Random(index))
        counts["refused"] += (refused := _is_refused(analyzer, damaged))
        counts["harmful"] += not refused and _is_harmful(analyzer, photo, damaged)
        counts["refused for impossible averages"] += refused and has_impossible_averages(
            damaged, iterate_segments(damaged)
        )
    return dict(counts)


def _damage(photo: bytes, count: int, generator: random.Random) -> bytes:
    first = next(segment.end for segment in iterate_segments(photo) if segment.marker == START_OF_SCAN)
    damaged = bytearray(photo)
    for place in generator.sample(range(first, len(photo) - 2), count):
        damaged[place] ^= generator.randrange(1, 256)
    return bytes(damaged)


def _is_refused(analyzer: FaceAnalyzer, photo: bytes) -> bool:
    try:
        analyzer.analyze(photo, Embed.LARGEST)
    except ImageTruncated:
        return True
    return False


def _is_harmful(analyzer: FaceAnalyzer, photo: bytes, damaged: bytes) -> bool:
    whole, changed = (analyzer.analyze(data, Embed.LARGEST) for data in (photo, damaged))
    if not whole.embeddings or not changed.embeddings:
        return False
    is_acceptable = changed.faces[0].quality.is_acceptable
    return is_acceptable and float(whole.embeddings[0] @ changed.embeddings[0]) < analyzer.engine.info.threshold


def _measure_cost(analyzer: FaceAnalyzer, photos: list[bytes]) -> float:
    """Processor time of the search where it takes place, as a share of the analyses of all photos."""
    pixels = [_decode(photo) for photo in photos]
    started = time.process_time()
    for photo in photos:
        analyzer.analyze(photo, Embed.LARGEST)
    analyzed = time.process_time()
    for photo, picture in zip(photos, pixels, strict=True):
        if may_hide_damage(picture, 1):
            has_impossible_averages(photo, iterate_segments(photo))
    return round((time.process_time() - analyzed) / (analyzed - started), 4)


def _decode(photo: bytes) -> Pixels:
    return np.asarray(cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)


if __name__ == "__main__":
    main()
