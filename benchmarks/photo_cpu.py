"""Measure the processor time that one photo with six faces takes in the analysis, as a worker runs it.

    python -m benchmarks.photo_cpu --photos DIR --pack DIR [--out [FILE]]

One thread, photos of 1280x886 in memory. Processor time depends less on other programs than elapsed time does; the
lowest of eight rounds counts.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from app.domain.faces import Face, QualityBar, QualityReason
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.machine import describe_run
from benchmarks.photos import make_photos

RESULT = Path(__file__).parent / "results" / "photo_cpu.json"
PHOTOS, ROUNDS = 12, 8


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    analyzer = build_analyzer(Settings.model_validate({"model_pack": str(arguments.pack.resolve())}))
    analyzer.warm_up()

    def choose(faces: Sequence[Face]) -> list[int]:
        judged = [analyzer.judge(face, QualityBar.LOW) for face in faces]
        return [at for at, found in enumerate(judged) if all(one.reason is QualityReason.UNRELIABLE for one in found)]

    photos = make_photos("group", arguments.photos, PHOTOS)
    rounds = []
    for _ in range(ROUNDS + 1):
        started = time.process_time()
        for photo in photos:
            analyzer.analyze(photo, choose)
        rounds.append(round(1000 * (time.process_time() - started) / PHOTOS, 2))
    result = {
        "what": "processor time of the analysis of a photo with six faces",
        **describe_run(),
        "pack": arguments.pack.name,
        "ms_by_round": rounds[1:],
        "lowest_ms": min(rounds[1:]),
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
