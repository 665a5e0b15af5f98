"""A file with a line for each photo or person that is done, so that a long import can go on after a kill."""

import json
from pathlib import Path
from threading import Lock
from typing import TextIO

import typer

from app.errors import OperatorError

_TITLE = "vultus import"


class ImportLedger:
    """Records what is done, from any thread; without a path it records nothing.

    `about` names the import (source, server, collection); a file belongs to one import.
    """

    def __init__(self, path: Path | None, about: str) -> None:
        self._path = path
        self._first = json.dumps([_TITLE, about])
        self._done = set[str]()
        self._file: TextIO | None = None
        self._lock = Lock()

    def __enter__(self) -> "ImportLedger":
        """Open the file; raises `OperatorError` if it belongs to another import or cannot be written."""
        if self._path is None:
            return self
        try:
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            lines = text.splitlines()
            if text and not (lines[0] == self._first or self._first.startswith(text)):
                raise OperatorError(f"--progress {self._path}: this file belongs to another import; use another file.")
            self._path.touch(mode=0o600)
            self._file = self._path.open("a", encoding="utf-8")
            if text and not text.endswith("\n"):  # a kill cut the last line; it is ignored
                self._file.write("\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise OperatorError(f"--progress {self._path}: {exc}") from exc
        self._done = set(lines)
        if self._first not in lines:
            self._write(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def has(self, what: str) -> bool:
        """Return whether something is done."""
        return json.dumps(what) in self._done

    def add(self, what: str) -> None:
        """Record what is done. If the file cannot be written, warn once and stop recording."""
        with self._lock:
            self._write(json.dumps(what))

    def _write(self, line: str) -> None:
        if self._file is not None:
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as exc:
                typer.echo(f"--progress {self._path}: {exc}; progress is no longer recorded.", err=True)
                self._file = None
