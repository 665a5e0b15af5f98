"""What every result file says of the machine and the code that made it."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def describe_run() -> dict[str, Any]:
    """Commit, processor, cores, Python."""
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
