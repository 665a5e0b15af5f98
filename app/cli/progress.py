"""Progress of long commands: a bar on a terminal, otherwise a line every 30 s for a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import typer
from rich.console import Console
from rich.progress import Progress

_LOG_INTERVAL_S = 30.0


class Steps:
    """A number of steps of one kind; `advance` may be called from any thread."""

    def __init__(self, name: str, total: int, bar: Progress | None) -> None:
        self._name, self._total, self._bar = name, total, bar
        self._task = bar.add_task(name, total=total) if bar is not None else None
        self._done = 0
        self._logged_at = time.monotonic()
        self._lock = Lock()

    def advance(self) -> None:
        """Count one completed step."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
            return
        with self._lock:
            self._done += 1
            if time.monotonic() - self._logged_at < _LOG_INTERVAL_S:
                return
            self._logged_at = time.monotonic()
            typer.echo(f"{self._name}: {self._done} of {self._total}", err=True)


class ProgressDisplay:
    """Shows the steps of a command, one kind after the other."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    def steps(self, name: str, total: int) -> Steps:
        """Start a kind of step."""
        return Steps(name, total, self._bar)


@contextmanager
def show_progress() -> Iterator[ProgressDisplay]:
    """Show progress on stderr until the block ends."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressDisplay(None)
        return
    with Progress(console=console) as bar:
        yield ProgressDisplay(bar)
