"""Check what is shipped: how confined the units are, what linters say, and how soon a new machine recognizes a face.

    make prove-deployment
    python -m benchmarks.deployment [--installs] [--image] [--out [FILE]]

- `systemd-analyze security` rates each unit; hadolint, actionlint and promtool judge the other files.
- The tests of the documents and of their site count broken links and whatever is undocumented.
- With `--installs`, the wheel is installed by pip into an empty environment, and `vultus demo` recognizes people: from
  pip's cache, so without the download. The clone is installed by `make demo`, from uv's cache. Needs an idle machine.
- With `--image`, the image is built and run (`.ci/test-image`; as root, 4 minutes) and its size is recorded.

Needs hadolint, actionlint, promtool and systemd-analyze on the path. Exits with 1 if a goal is missed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.goals import at_most
from benchmarks.machine import describe_run

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "deployment.json"
DEPLOY = ROOT / "deploy"
MAX_EXPOSURE, MAX_SECONDS = 2.0, 300.0
_UV = os.environ.get("UV", str(ROOT / ".uv" / "bin" / "uv"))
_LINTERS = {
    "hadolint": [["hadolint", str(DEPLOY / "container" / "Dockerfile")]],
    "actionlint": [["actionlint", *map(str, sorted((ROOT / ".github" / "workflows").glob("*.yml")))]],
    "promtool": [
        ["promtool", "check", "rules", str(DEPLOY / "prometheus" / "alerts.yaml")],
        ["promtool", "test", "rules", str(DEPLOY / "prometheus" / "alerts_test.yaml")],
    ],
}


def rate_units() -> dict[str, float]:
    """Return the exposure of each unit, from 0 to 10."""
    rated = {}
    for unit in sorted((DEPLOY / "systemd").glob("*.service")):
        verdict = _run(["systemd-analyze", "security", "--offline=yes", str(unit)]).stdout
        rated[unit.name] = float(re.findall(r"exposure level for \S+ (\d+\.\d+)", verdict)[-1])
    return rated


def count_faults() -> dict[str, int]:
    """Return how many runs of each linter find a fault."""
    return {
        name: sum(_run(command, check=False).returncode != 0 for command in commands)
        for name, commands in _LINTERS.items()
    }


def time_wheel(directory: Path) -> float:
    """Return the seconds of `pip install` from its cache and of the demo, in an empty environment and directory."""
    _run([_UV, "build", "--quiet", "--wheel", "--out-dir", str(directory / "dist")], cwd=ROOT)
    (wheel,) = (directory / "dist").glob("*.whl")
    for name in ("warm", "timed"):
        _run([sys.executable, "-m", "venv", str(directory / name)])
        started_at = time.perf_counter()
        _run([str(directory / name / "bin" / "pip"), "install", "--quiet", str(wheel)])
        if name == "warm":
            shutil.rmtree(directory / name)
    home = directory / "home"
    home.mkdir()
    _run([str(directory / "timed" / "bin" / "vultus"), "demo"], cwd=home, env=_environment(home))
    return time.perf_counter() - started_at


def time_clone(directory: Path) -> float:
    """Return the seconds of `make demo` in a clone, from uv's cache."""
    clone, home = directory / "clone", directory / "clone-home"
    _run(["git", "clone", "--quiet", str(ROOT), str(clone)])
    home.mkdir()
    cache = {"UV_CACHE_DIR": _run([_UV, "cache", "dir"]).stdout.strip()}
    started_at = time.perf_counter()
    _run(["make", "demo"], cwd=clone, env=_environment(home) | cache)
    return time.perf_counter() - started_at


def count_broken_documents() -> int:
    """Return how many tests of the documents and of the site fail."""
    done = _run([sys.executable, "-m", "pytest", "-q", "tests/test_documents.py", "tests/test_site.py"], check=False)
    failed = re.findall(r"(\d+) (?:failed|error)", done.stdout)
    return sum(map(int, failed)) if failed or done.returncode == 0 else 1


def measure_image() -> int:
    """Build the image, run Vultus in it, and return its size in MB."""
    return int(re.findall(r"read-only root, (\d+) MB", _run(["bash", ".ci/test-image"]).stdout)[0])


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VULTUS_")}
    return {**kept, "HOME": str(home), "VULTUS_MODEL_PACK": "synthetic"}


def _run(command: list[str], *, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    options = {"cwd": ROOT, **options}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installs", action="store_true")
    parser.add_argument("--image", action="store_true")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    goals = [
        *(at_most(f"exposure of {name}", MAX_EXPOSURE, rate, "of 10") for name, rate in rate_units().items()),
        *(at_most(f"faults that {name} finds", 0, faults, "") for name, faults in count_faults().items()),
        at_most("failed tests of documents and site", 0, count_broken_documents(), ""),
    ]
    if arguments.installs:
        with tempfile.TemporaryDirectory(prefix="vultus-deployment-") as name:
            wheel_s, clone_s = time_wheel(Path(name)), time_clone(Path(name))
        goals += [
            at_most("wheel: from pip's cache to recognized people, 2 commands", MAX_SECONDS, round(wheel_s, 1), "s"),
            at_most("clone: from uv's cache to recognized people, 2 commands", MAX_SECONDS, round(clone_s, 1), "s"),
        ]
    result = {
        "what": "the files of deploy/, the documents, and the way from nothing to a recognized face",
        **describe_run(),
        "goals": goals,
    }
    if arguments.image:
        result["image_mb"] = measure_image()
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for goal in goals:
        print(f"{goal['name']}: {goal['measured']} {goal['unit']}, goal {goal['goal']}, held: {goal['held']}")
    sys.exit(0 if all(goal["held"] for goal in goals) else 1)


if __name__ == "__main__":
    main()
