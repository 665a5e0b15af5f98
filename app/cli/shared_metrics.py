"""Let several processes count in one directory; the process that serves /metrics adds them up (telemetry/metrics.py).

Call these before anything imports `app.telemetry.metrics`.
"""

import os
from pathlib import Path

from app.settings import Settings
from app.telemetry.process_names import may_run

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(settings: Settings) -> None:
    """Count in the directory of the environment, or in the data directory; delete the counts of ended processes."""
    directory = _directory(settings)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.db"):
        if not _is_running(old):
            old.unlink(missing_ok=True)
    os.environ[MULTIPROC_DIR] = str(directory)


def join_metrics(settings: Settings) -> None:
    """Count in the directory of the environment, or beside a server with several workers on this data directory."""
    directory = _directory(settings)
    if MULTIPROC_DIR in os.environ:
        directory.mkdir(parents=True, exist_ok=True)
    elif any(_is_running(file) for file in directory.glob("*.db")):
        os.environ[MULTIPROC_DIR] = str(directory)


def _directory(settings: Settings) -> Path:
    named = os.environ.get(MULTIPROC_DIR)
    return Path(named) if named else settings.resolved_data_dir / "metrics"


def _is_running(file: Path) -> bool:
    """Return whether the process whose name ends the file's name runs."""
    return may_run(file.stem.rpartition("_")[2])
