"""What a run has asked already, in a file beside its report, so that it goes on where it was interrupted.

In process these are embeddings: biometric data. The file is removed when the run is done, unless it is to be kept.
Over a server it also says which collection the run made there and has yet to erase.
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

_BEGUN, _ERASED = "collection ", "erased "


class Answers:
    """Answers by key, one JSON line each; safe to use from several threads."""

    def __init__(self, path: Path, about: dict[str, Any], *, keep: bool) -> None:
        """`about` is what the answers depend on: a file about anything else is begun anew.

        Raises `OperatorError` where that would forget a collection on a server.
        """
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._alone = InterProcessLock(path.with_suffix(".lock"))
        self._known: dict[str, Any] = {}
        self._head = json.dumps(about, sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_alone = self._alone.acquire(blocking=False)
        except OSError as exc:
            raise OperatorError(f"{path} cannot be written: {exc.strerror}.") from exc
        if not is_alone:
            raise OperatorError(f"{path.parent}: another run is writing there; give this one another --out.")
        try:
            self._file = self._open()
        except BaseException:
            self._let_go()
            raise

    def _open(self) -> TextIO:
        try:
            self._path.touch(mode=0o600)
            self._path.chmod(0o600)
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._read(text.splitlines())
            if not self._known:
                self._path.write_text(self._head + "\n")
            file = self._path.open("a")
            if text and not text.endswith("\n"):
                file.write("\n")
        except OSError as exc:
            raise OperatorError(f"{self._path} cannot be written: {exc.strerror}.") from exc
        return file

    def _let_go(self) -> None:
        self._path.with_suffix(".lock").unlink(missing_ok=True)
        self._alone.release()

    def _read(self, lines: list[str]) -> None:
        for line in lines[1:]:
            self._take(line)
        if lines and lines[0] != self._head:
            if self.unfinished:
                raise OperatorError(
                    f"{self._path} is of an interrupted run about something else ({lines[0]}), which left "
                    f"{', '.join(self.unfinished)} there: end that run first, or give this one another --out."
                )
            self._known = {}

    def _take(self, line: str) -> None:
        try:
            key, value = json.loads(line)
        except (ValueError, TypeError):  # a line that was cut off where a run was interrupted
            return
        self._known[str(key)] = value

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def ask(self, key: str, work: Callable[[], Any]) -> Any:
        """The answer under this key: what JSON makes of the result of `work`, which is called where there is none."""
        if key not in self._known:
            self.put(key, work())
        return self._known[key]

    @property
    def unfinished(self) -> list[str]:
        """The collections that were made on a server and not erased again."""
        return list(self._unfinished().values())

    def _unfinished(self) -> dict[str, str]:
        """By the gallery that each is of."""
        begun = {key.removeprefix(_BEGUN): name for key, name in self._known.items() if key.startswith(_BEGUN)}
        return {gallery: name for gallery, name in begun.items() if f"{_ERASED}{gallery}" not in self._known}

    @contextmanager
    def collection(self, gallery: str, create: Callable[[str], None], erase: Callable[[str], None]) -> Iterator[str]:
        """The name of the collection of a run's gallery: erased when the block is done, there to go on with if not.

        That it may be erased is tried before a photo is in it.
        """

        def begin() -> str:
            name = f"eval-{uuid4().hex[:12]}"
            create(name)
            try:
                erase(name)
            except OperatorError as exc:
                raise OperatorError(f"Collection {name} was made to see whether it may be erased: {exc}") from exc
            create(name)
            return name

        name = self.ask(f"{_BEGUN}{gallery}", begin)
        yield name
        if f"{_ERASED}{gallery}" not in self:
            erase(name)
            self.put(f"{_ERASED}{gallery}", True)

    def abandon(self, erase: Callable[[str], None]) -> None:
        """Erase the collections that are still there."""
        for gallery, name in self._unfinished().items():
            erase(name)
            self.put(f"{_ERASED}{gallery}", True)

    def forget(self) -> None:
        """Forget every answer."""
        self._known = {}
        self._file.truncate(0)
        self._file.write(self._head + "\n")
        self._file.flush()

    def put(self, key: str, value: Any) -> None:
        """Keep an answer."""
        line = json.dumps([key, value])
        with self._lock:
            self._known[key] = json.loads(line)[1]
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._file.close()
        if kind is None and not self._keep:
            self._path.unlink(missing_ok=True)
        self._let_go()
