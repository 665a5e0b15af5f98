"""What a run has asked already, in a file beside its report, so that it goes on where it was interrupted.

In process these are embeddings: biometric data. The file is removed when the run is done, unless it is to be kept.
"""

import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Answers:
    """Answers by key, one JSON line each; safe to use from several threads."""

    def __init__(self, path: Path, about: dict[str, Any], *, keep: bool) -> None:
        """`about` is what the answers depend on: a file about anything else is begun anew."""
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        head = json.dumps(about, sort_keys=True)
        if path.exists():
            lines = path.read_text().splitlines()
            if lines and lines[0] == head:
                for line in lines[1:]:
                    self._take(line)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        if not self._known:
            path.write_text(head + "\n")
        self._file = path.open("a")

    def _take(self, line: str) -> None:
        try:
            key, value = json.loads(line)
        except ValueError:  # the last line, where the run was interrupted
            return
        self._known[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def get(self, key: str) -> Any:
        """The answer under this key."""
        return self._known[key]

    def put(self, key: str, value: Any) -> None:
        """Keep an answer."""
        with self._lock:
            self._known[key] = value
            self._file.write(json.dumps([key, value]) + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._file.close()
        if kind is None and not self._keep:
            self._path.unlink(missing_ok=True)
