"""Prove what webhooks promise, with real servers, workers, PostgreSQL and a receiver.

    make prove-webhooks
    python -m benchmarks.webhooks [--only PART ...] [--out [FILE]]

- `kills`: 1,000 events of 125 subjects to a receiver that fails half the time, while workers are killed.
- `slow`: how long events take beside endpoints of another tenant, or of the same one, that answer after 30 s.
- `cost`: the processor time of a registration with a webhook against one without.
- `backlog`: the search for due webhooks among 10,000 with 100,000 waiting deliveries.

With `--out`, the result replaces those of the same parts in the file. Exits with 1 if a goal is missed.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_run
from benchmarks.webhooks import backlog, cost, kills, slow
from benchmarks.webhooks.receiver import receiving
from benchmarks.webhooks.scene import Scene

RESULT = Path(__file__).parents[1] / "results" / "webhooks.json"
PARTS = {"kills": kills.prove, "slow": slow.measure, "cost": cost.measure, "backlog": backlog.measure}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    held = True
    for name in arguments.only:
        with receiving() as receiver, tempfile.TemporaryDirectory(prefix="vultus-hooks-") as directory:
            scene = Scene(Path(directory), receiver)
            try:
                found = {**describe_run(), "pack": "synthetic", **PARTS[name](scene)}
            finally:
                scene.stage.end()
        print(json.dumps({name: found}, indent=1), flush=True)
        held &= all(goal["held"] for goal in found["goals"])
        if arguments.out:
            _write(arguments.out, name, found)
    sys.exit(0 if held else 1)


def _write(file: Path, part: str, found: dict[str, Any]) -> None:
    """Replace a part in the file, and collect the goals of all parts."""
    parts = json.loads(file.read_text())["parts"] if file.exists() else {}
    parts |= {part: found}
    goals = [goal for name in PARTS if name in parts for goal in parts[name]["goals"]]
    what = "webhooks: arrival, order and time of events; their cost"
    file.write_text(json.dumps({"what": what, "goals": goals, "parts": parts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
