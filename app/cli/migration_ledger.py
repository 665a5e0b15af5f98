"""A file with a line for each finished photo of a migration, so that a long run can resume."""

import json
from pathlib import Path
from typing import TextIO

import typer

from app.errors import OperatorError
from app.services.maintenance.model_migration import SourcePhoto

_TITLE = "vultus models migrate"


class Ledger:
    """Records finished photos; without a path it records nothing.

    `about` names the run (tenant, collection, recognizer); a file belongs to one run.
    """

    def __init__(self, path: Path | None, about: str) -> None:
        self._path = path
        self._first = json.dumps([_TITLE, about])
        self._done = set[str]()
        self._file: TextIO | None = None

    def __enter__(self) -> "Ledger":
        """Open the file; raises `OperatorError` if it belongs to another run or cannot be written."""
        if self._path is None:
            return self
        try:
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            lines = text.splitlines()
            if text and not (lines[0] == self._first or self._first.startswith(text)):
                raise OperatorError(
                    f"--progress {self._path}: this file belongs to another migration, or the templates have been "
                    "erased since; use another file."
                )
            self._path.touch(mode=0o600)
            # Two processes may share the file: lines are appended and flushed one by one.
            self._file = self._path.open("a", encoding="utf-8")
            if text and not text.endswith("\n"):  # a crash truncated the last line; it is ignored
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

    def has(self, photo: SourcePhoto) -> bool:
        """Return whether the photo is finished."""
        return _line_of(photo) in self._done

    def add(self, photo: SourcePhoto) -> None:
        """Record a finished photo. If the file cannot be written, warn once and stop recording."""
        self._write(_line_of(photo))

    def _write(self, line: str) -> None:
        if self._file is not None:
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as exc:
                typer.echo(f"--progress {self._path}: {exc}; progress is no longer recorded.", err=True)
                self._file = None


def _line_of(photo: SourcePhoto) -> str:
    return json.dumps([photo.name, photo.subject])
