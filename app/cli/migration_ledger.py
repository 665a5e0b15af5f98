"""Which photos of a migration are done, a line each in a file, so that a run of days can go on where it was."""

import json
from pathlib import Path
from typing import TextIO

import typer

from app.errors import OperatorError
from app.services.maintenance.model_migration import SourcePhoto

_TITLE = "vultus models migrate"


class Ledger:
    """Notes what is done; of nothing without a file. It belongs to one tenant's collection and one recognizer."""

    def __init__(self, path: Path | None, about: str) -> None:
        self._path = path
        self._first = json.dumps([_TITLE, about])
        self._done = set[str]()
        self._file: TextIO | None = None

    def __enter__(self) -> "Ledger":
        """Raises `OperatorError` for a file that is none of its own, or cannot be written."""
        if self._path is None:
            return self
        try:
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            lines = text.splitlines()
            if text and not (lines[0] == self._first or self._first.startswith(text)):
                raise OperatorError(
                    f"--progress {self._path}: this file notes something else, or what was erased since; name another."
                )
            self._path.touch(mode=0o600)
            # Two runs may note in one file: each line is written at once, behind what is there.
            self._file = self._path.open("a", encoding="utf-8")
            if text and not text.endswith("\n"):  # a line that a crash cut off stays one that says nothing
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
        """Whether the photo is done."""
        return _line_of(photo) in self._done

    def note(self, photo: SourcePhoto) -> None:
        """The photo is done."""
        self._write(_line_of(photo))

    def _write(self, line: str) -> None:
        if self._file is not None:
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as exc:
                typer.echo(f"--progress {self._path}: {exc}; nothing more is noted.", err=True)
                self._file = None


def _line_of(photo: SourcePhoto) -> str:
    return json.dumps([photo.name, photo.subject])
