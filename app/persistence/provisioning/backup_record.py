"""Remember when the last backup was made, in the data directory, so that `vultus doctor` can tell its age."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_FILE = "last-backup.json"


def record_backup(data_dir: Path, file: Path) -> None:
    """Note that a complete backup was written now, unless this host has no data directory that can be written."""
    record = {"made_at": datetime.now(UTC).isoformat(timespec="seconds"), "file": str(file)}
    with suppress(OSError):
        (data_dir / _FILE).write_text(json.dumps(record) + "\n")


def read_backup_time(data_dir: Path) -> datetime | None:
    """Return when the last backup was made; None if none was, or the note is damaged."""
    try:
        return datetime.fromisoformat(json.loads((data_dir / _FILE).read_text())["made_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
