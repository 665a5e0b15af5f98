"""A file with a line for each thing that is done, so that a long command can resume after a kill."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from threading import Lock
from typing import ClassVar, Generic, Self, TextIO, TypeVar

import typer

from app.errors import OperatorError

T = TypeVar("T")


class ProgressFile(ABC, Generic[T]):
    """Records what is done, from any thread; without a path it records nothing.

    `about` names the run, such as its tenant and collection; a file belongs to one run.
    """

    title: ClassVar[str]
    """The command that writes the file."""
    foreign: ClassVar[str]
    """What a file of another run is, after `this file belongs to`."""

    def __init__(self, path: Path | None, about: str) -> None:
        self._path = path
        self._first = json.dumps([self.title, about])
        self._done = set[str]()
        self._file: TextIO | None = None
        self._lock = Lock()

    @abstractmethod
    def describe(self, what: T) -> object:
        """Return what stands for a thing in the file, as a value of JSON."""

    def __enter__(self) -> Self:
        """Open the file; raises `OperatorError` if it belongs to another run or cannot be written."""
        if self._path is None:
            return self
        try:
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            lines = text.splitlines()
            if text and not (lines[0] == self._first or self._first.startswith(text)):
                raise OperatorError(f"--progress {self._path}: this file belongs to {self.foreign}; use another file.")
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

    def has(self, what: T) -> bool:
        """Return whether something is done."""
        return json.dumps(self.describe(what)) in self._done

    def add(self, what: T) -> None:
        """Record what is done. If the file cannot be written, warn once and stop recording."""
        with self._lock:
            self._write(json.dumps(self.describe(what)))

    def _write(self, line: str) -> None:
        if self._file is not None:
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as exc:
                typer.echo(f"--progress {self._path}: {exc}; progress is no longer recorded.", err=True)
                self._file = None
