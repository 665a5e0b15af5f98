"""What the evaluated system has answered so far, in a file next to the report, so that a run can resume.

In process the answers contain embeddings, which are biometric data. The file is deleted when the run completes, unless
it is to be kept. For a server it also records which collections the run created there and has not erased yet.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO
from uuid import uuid4

from fasteners import InterProcessLock

from app.errors import OperatorError

_CREATED, _ERASED = "collection ", "erased "
"""Prefixes of the keys under which a gallery's collection is recorded."""


class Answers:
    """A key-value file, readable by its owner only, with one JSON line per answer; safe to use from several threads.

    A lock file keeps a second process from using the same file.
    """

    def __init__(self, path: Path, about: dict[str, Any], *, keep: bool) -> None:
        """Open or create the file; answers stored with a different `about`, all that they depend on, are discarded.

        Raises `OperatorError` if the file is in use or cannot be written, or if discarding it would leave a collection
        on a server.
        """
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._process_lock = InterProcessLock(path.with_suffix(".lock"))
        self._answers: dict[str, Any] = {}
        self._header = json.dumps(about, sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_locked = self._process_lock.acquire(blocking=False)
        except OSError as exc:
            raise OperatorError(f"{path} cannot be written: {exc.strerror}.") from exc
        if not is_locked:
            raise OperatorError(f"{path.parent}: another run is writing there; use a different --out for this one.")
        try:
            self._file = self._open()
        except BaseException:
            self._unlock()
            raise

    def _open(self) -> TextIO:
        try:
            self._path.touch(mode=0o600)
            self._path.chmod(0o600)
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._read(text.splitlines())
            if not self._answers:
                self._path.write_text(self._header + "\n")
            file = self._path.open("a")
            if text and not text.endswith("\n"):
                file.write("\n")
        except OSError as exc:
            raise OperatorError(f"{self._path} cannot be written: {exc.strerror}.") from exc
        return file

    def _unlock(self) -> None:
        self._path.with_suffix(".lock").unlink(missing_ok=True)
        self._process_lock.release()

    def _read(self, lines: list[str]) -> None:
        for line in lines[1:]:
            self._read_line(line)
        if lines and lines[0] != self._header:
            if self.open_collections:
                raise OperatorError(
                    f"{self._path} belongs to an interrupted run with other options ({lines[0]}), which left the "
                    f"collection {', '.join(self.open_collections)} on the server. Complete that run first, or use a "
                    f"different --out for this one."
                )
            self._answers = {}

    def _read_line(self, line: str) -> None:
        try:
            key, value = json.loads(line)
        except (ValueError, TypeError):  # incomplete: the run was interrupted while writing it
            return
        self._answers[str(key)] = value

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def get_or_compute(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return the answer under this key; if there is none, store what `compute` returns, as JSON types."""
        if key not in self._answers:
            self.put(key, compute())
        return self._answers[key]

    @property
    def open_collections(self) -> list[str]:
        """The collections created on a server and not erased yet."""
        return list(self._open_collections().values())

    def _open_collections(self) -> dict[str, str]:
        """Return the name of each such collection, by gallery."""
        created = {key.removeprefix(_CREATED): name for key, name in self._answers.items() if key.startswith(_CREATED)}
        return {gallery: name for gallery, name in created.items() if f"{_ERASED}{gallery}" not in self._answers}

    @contextmanager
    def collection(self, gallery: str, create: Callable[[str], None], erase: Callable[[str], None]) -> Iterator[str]:
        """Provide the collection of a run's gallery; it is erased after the block, but kept for resuming on an error.

        Before any photo is stored, it is erased and created again once, to check that erasing is permitted.
        """

        def create_checked() -> str:
            name = f"eval-{uuid4().hex[:12]}"
            create(name)
            try:
                erase(name)
            except OperatorError as exc:
                raise OperatorError(
                    f"The empty collection {name} was created and cannot be erased: {exc} Use credentials that may "
                    f"erase collections, and erase it by hand."
                ) from exc
            create(name)
            return name

        name = self.get_or_compute(f"{_CREATED}{gallery}", create_checked)
        yield name
        if f"{_ERASED}{gallery}" not in self:
            erase(name)
            self.put(f"{_ERASED}{gallery}", True)

    def erase_open_collections(self, erase: Callable[[str], None]) -> None:
        for gallery, name in self._open_collections().items():
            erase(name)
            self.put(f"{_ERASED}{gallery}", True)

    def clear(self) -> None:
        """Discard all answers."""
        self._answers = {}
        self._file.truncate(0)
        self._file.write(self._header + "\n")
        self._file.flush()

    def put(self, key: str, value: Any) -> None:
        """Store an answer and write it to the file at once."""
        line = json.dumps([key, value])
        with self._lock:
            self._answers[key] = json.loads(line)[1]
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._file.close()
        if kind is None and not self._keep:
            self._path.unlink(missing_ok=True)
        self._unlock()
