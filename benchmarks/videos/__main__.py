"""Measure videos.

    make bench-video
    python -m benchmarks.videos --photos DIR --pack DIR [--only PART]... [--out [FILE]]

- `identities`: 60 people filmed by a script, 45 of them registered; who is found, once, and named rightly.
- `times`: the times of frames at a variable rate.
- `speed`: a worker against a bare loop, three minutes of 1080p30; the memory of the decoding process.
- `long`: the memory of the decoding process over six hours.
- `kills`: a worker that is killed 20 times.

With `--out`, the result replaces those of the same parts in the file.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.albums.stage import Inputs, Stage
from benchmarks.machine import describe_run
from benchmarks.videos.identities import measure_identities
from benchmarks.videos.kills import prove_kills
from benchmarks.videos.speed import measure_long_video, measure_speed
from benchmarks.videos.times import measure_times

RESULT = Path(__file__).parents[1] / "results" / "videos.json"
PARTS: dict[str, Callable[[Stage], dict[str, Any]]] = {
    "identities": measure_identities,
    "times": measure_times,
    "speed": measure_speed,
    "long": measure_long_video,
    "kills": prove_kills,
}


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; repeat it for more")
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    for part in arguments.only or PARTS:
        measured = _measure(part, Inputs(arguments.photos, arguments.pack))
        print(json.dumps({part: measured}, indent=1), flush=True)
        if arguments.out:
            _write(arguments.out, part, measured)


def _measure(part: str, inputs: Inputs) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="vultus-videos-", ignore_cleanup_errors=True) as directory:
        stage = Stage(Path(directory), inputs)
        try:
            measured = PARTS[part](stage)
        finally:
            stage.end()
    return {**describe_run(), "pack": inputs.pack_name, **measured}


def _write(file: Path, part: str, measured: dict[str, Any]) -> None:
    """Replace a part in the file, and collect the goals of all parts."""
    parts = json.loads(file.read_text())["parts"] if file.exists() else {}
    parts |= {part: measured}
    goals = [goal for name in PARTS if name in parts for goal in parts[name]["goals"]]
    file.write_text(json.dumps({"what": "videos", "goals": goals, "parts": parts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
