"""How far a long command is: a bar at a terminal, else a line from time to time, for a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import typer
from rich.console import Console
from rich.progress import Progress

_EVERY_S = 30.0


class Steps:
    """So many steps of one kind of work; `advance` may come from any thread."""

    def __init__(self, name: str, total: int, bar: Progress | None) -> None:
        self._name, self._total, self._bar = name, total, bar
        self._task = bar.add_task(name, total=total) if bar is not None else None
        self._done = 0
        self._said_at = time.monotonic()
        self._lock = Lock()

    def advance(self) -> None:
        """One more is done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
            return
        with self._lock:
            self._done += 1
            if time.monotonic() - self._said_at < _EVERY_S:
                return
            self._said_at = time.monotonic()
            typer.echo(f"{self._name}: {self._done} of {self._total}", err=True)


class Shown:
    """Makes steps, one kind of work after the other."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    def steps(self, name: str, total: int) -> Steps:
        """Begin with so many steps."""
        return Steps(name, total, self._bar)


@contextmanager
def progress() -> Iterator[Shown]:
    """Show progress on stderr for the time of the block."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Shown(None)
        return
    with Progress(console=console) as bar:
        yield Shown(bar)
