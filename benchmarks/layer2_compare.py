"""Compare runs of layer 2 before and after a change, made in turn on one machine: did requests become slower?

python -m benchmarks.layer2_compare --before FILE... --after FILE... [--out FILE]
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.goals import at_most

MAX_RATIO = 1.05
"""Means up to this ratio count as equally fast: single runs of the same code differ by more."""


def main() -> None:
    """Compare the mean p50 of each kind of photo; print and write JSON."""
    parser = argparse.ArgumentParser(description="Compare runs of layer 2.")
    parser.add_argument("--before", type=Path, nargs="+", required=True)
    parser.add_argument("--after", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    before, after = ([json.loads(path.read_text()) for path in paths] for paths in (arguments.before, arguments.after))
    p50 = {kind: {"before": _p50(before, kind), "after": _p50(after, kind)} for kind in after[0]["kinds"]}
    result = {
        "what": "POST /recognize, one client: p50 in milliseconds of several runs, before and after",
        "machine": after[0]["machine"],
        "commits": {"before": before[0]["commit"], "after": after[0]["commit"]},
        "p50_ms": p50,
        "goals": [
            at_most(f"{kind}: mean p50, after / before", MAX_RATIO, _ratio(runs), "ratio") for kind, runs in p50.items()
        ],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _p50(runs: list[dict[str, Any]], kind: str) -> list[float]:
    return [run["kinds"][kind]["vultus"]["p50_ms"] for run in runs]


def _ratio(runs: dict[str, list[float]]) -> float:
    return round(mean(runs["after"]) / mean(runs["before"]), 3)


if __name__ == "__main__":
    main()
