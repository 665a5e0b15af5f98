"""Describe the machine and the code of a benchmark run, for its result file."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def describe_run() -> dict[str, Any]:
    """Return the commit, the processor, the number of cores and the Python version."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": done.stdout.strip() or "unknown",
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
