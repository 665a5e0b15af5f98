"""Write the committed reports of `vultus eval verify`, `identify` and `quality`, without names and pictures.

    python -m benchmarks.eval_reports --photos DIR --pairs FILE --pack DIR --out DIR [--only KINDS]

Quality is evaluated on the people with an odd place in the sorted list of folders: the quality models that come with
Vultus were fitted to the others. Once the photos are as they are, once a fifth of them is degraded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.goals import at_most
from benchmarks.machine import describe_run

GALLERIES = "100,500,1000,2000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("photos", "pairs", "pack", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--only", help="reports to write, separated by commas")
    arguments = parser.parse_args()
    vultus, run = str(Path(sys.executable).parent / "vultus"), describe_run()
    for name, (kind, options) in {
        "verify": ("verify", ["--pairs", str(arguments.pairs), "--all-pairs"]),
        "identify": ("identify", ["--galleries", GALLERIES, "--searches", "1500"]),
        "quality": ("quality", []),
        "quality_degraded": ("quality", ["--degraded", "0.2"]),
    }.items():
        if name not in (arguments.only or name).split(","):
            continue
        with tempfile.TemporaryDirectory() as directory:
            people = _link_others(arguments.photos, Path(directory)) if kind == "quality" else arguments.photos
            common = ["--data", str(people), "--pack", str(arguments.pack)]
            subprocess.run([vultus, "eval", kind, *common, *options, "--out", directory], check=True)
            report = json.loads((Path(directory) / "report.json").read_text())
            report.pop("failures")  # they name photos
            if "quality" in report:
                report["goals"] = quality_goals(report["quality"])
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"eval_{name}.json").write_text(json.dumps({"run": run, **report}, indent=1) + "\n")
            (arguments.out / f"eval_{name}.html").write_text((Path(directory) / "report.html").read_text())


def quality_goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The quality score must predict errors better than detection score and sharpness alone."""
    measures = found["measures"]
    return [
        at_most(
            f"mean {rate.upper()} while the worst fifth is discarded, against {other} alone",
            round(measures[other][f"mean_{rate}_of_start"], 4),
            round(measures["quality score"][f"mean_{rate}_of_start"], 4),
            "of the start",
        )
        for rate in ("fnmr", "fmr")
        for other in ("detection score", "sharpness")
    ]


def _link_others(photos: Path, directory: Path) -> Path:
    """Return a directory with links to every second person's photos."""
    others = directory / "every-second-person"
    others.mkdir()
    for folder in sorted(folder for folder in photos.iterdir() if folder.is_dir())[1::2]:
        (others / folder.name).symlink_to(folder.resolve())
    return others


if __name__ == "__main__":
    main()
