"""Write the committed reports of `vultus eval verify` and `vultus eval identify`, without names and pictures.

python -m benchmarks.eval_reports --photos DIR --pairs FILE --pack DIR --out DIR
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe_run

GALLERIES = "100,500,1000,2000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("photos", "pairs", "pack", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    vultus, run = str(Path(sys.executable).parent / "vultus"), describe_run()
    common = ["--data", str(arguments.photos), "--pack", str(arguments.pack)]
    for kind, options in (
        ("verify", ["--pairs", str(arguments.pairs), "--all-pairs"]),
        ("identify", ["--galleries", GALLERIES, "--searches", "1500"]),
    ):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run([vultus, "eval", kind, *common, *options, "--out", directory], check=True)
            report = json.loads((Path(directory) / "report.json").read_text())
            report.pop("failures")  # they name photos
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"eval_{kind}.json").write_text(json.dumps({"run": run, **report}, indent=1) + "\n")
            (arguments.out / f"eval_{kind}.html").write_text((Path(directory) / "report.html").read_text())


if __name__ == "__main__":
    main()
