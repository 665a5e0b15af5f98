"""Restart the embedded PostgreSQL when it ends while the server runs, in the process that starts the workers."""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import DatabaseNotReady
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.server.parent_process import end_with_parent
from app.telemetry import get_logger

_log = get_logger(__name__)

_PAUSE_S = 1.0
_STOP_S = 5.0


@contextmanager
def database_keeper(
    embedded: EmbeddedPostgres | None, *, pause_s: float = _PAUSE_S, in_own_process: bool = False
) -> Iterator[None]:
    """Watch the embedded server in a thread until the block ends; does nothing without one.

    A process that forks workers needs a separate process, as for `graph_keeper`.
    """
    if embedded is None:
        yield
        return
    if in_own_process:
        with _process(embedded, pause_s):
            yield
        return
    stopping = threading.Event()
    thread = threading.Thread(target=_watch, args=(embedded, stopping, pause_s), name="database-keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()  # a restart after the end of the block would leave the server running


@contextmanager
def _process(embedded: EmbeddedPostgres, pause_s: float) -> Iterator[None]:
    keeper = multiprocessing.get_context("fork").Process(
        target=_watch_alone, args=(embedded, pause_s), name="database-keeper", daemon=True
    )
    keeper.start()
    try:
        yield
    finally:
        keeper.terminate()
        keeper.join(_STOP_S)


def _watch_alone(embedded: EmbeddedPostgres, pause_s: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    end_with_parent()
    try:
        _watch(embedded, threading.Event(), pause_s)
    finally:
        embedded.stop()  # only releases it: the parent still uses it


def _watch(embedded: EmbeddedPostgres, stopping: threading.Event, pause_s: float) -> None:
    while not stopping.wait(pause_s):
        if embedded.is_running():
            continue
        _log.error("embedded_database_ended")
        try:
            embedded.start()
        except DatabaseNotReady as exc:  # processes of the server that ended may still be there
            _log.error("embedded_database_not_restarted", error=str(exc))
        else:
            _log.info("embedded_database_restarted")
