"""Measure albums.

    python -m benchmarks.albums [--only PART]... [--photos DIR --pack DIR] [--out [FILE]]

Each part runs on a database of its own, with `vultus serve` and `vultus worker` as processes on the same cores. The
photos are 1280x886 with six faces, composed of LFW's photos, or of drawn people without `--photos`.

- `worker`: a worker against a bare loop of the same analysis.
- `upload`: `vultus albums upload` of 1,200 photos, extrapolated to 10,000; the spool afterwards.
- `first`: how long one photo takes, idle and behind 10,000 of another tenant.
- `light`: 100 photos beside another tenant's 10,000.
- `recognize`: what `POST /recognize` notices of a running album.
- `search`: 50 clients search an album of 10,000 photos and 40,000 faces; the result against an exact one.
- `retrieval`: recall of selfies at an event of groups of 4 to 8.
- `memory`: the growth of a worker.

With `--out`, the result replaces those of the same parts in the file.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.albums.memory import measure_memory
from benchmarks.albums.retrieval import measure_retrieval
from benchmarks.albums.search import measure_search
from benchmarks.albums.stage import Inputs, Stage
from benchmarks.albums.throughput import measure_upload, measure_worker
from benchmarks.albums.waiting import measure_first_photo, measure_light_tenant, measure_recognition
from benchmarks.machine import describe_run

RESULT = Path(__file__).parents[1] / "results" / "albums.json"
PARTS: dict[str, Callable[[Stage], dict[str, Any]]] = {
    "worker": measure_worker,
    "upload": measure_upload,
    "first": measure_first_photo,
    "light": measure_light_tenant,
    "recognize": measure_recognition,
    "search": measure_search,
    "retrieval": measure_retrieval,
    "memory": measure_memory,
}


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; repeat it for more")
    parser.add_argument("--photos", type=Path, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, help="a model pack's directory")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    inputs = Inputs(arguments.photos, arguments.pack)
    measured = {part: _measure(part, inputs) for part in arguments.only or PARTS}
    print(json.dumps(measured, indent=1))
    if arguments.out:
        _write(arguments.out, measured)


def _measure(part: str, inputs: Inputs) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="vultus-albums-", ignore_cleanup_errors=True) as directory:
        stage = Stage(Path(directory), inputs)
        try:
            measured = PARTS[part](stage)
        finally:
            stage.end()
    return {**describe_run(), "pack": inputs.pack_name, **measured}


def _write(file: Path, measured: dict[str, dict[str, Any]]) -> None:
    """Replace the parts in the file, and collect the goals of all parts."""
    before = json.loads(file.read_text())["parts"] if file.exists() else {}
    parts = {**before, **measured}
    goals = [goal for part in PARTS if part in parts for goal in parts[part]["goals"]]
    result = {"what": "albums: uploads, workers, waiting, searches, memory", "parts": parts, "goals": goals}
    file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
