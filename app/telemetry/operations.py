"""Measure work below requests: transactions, jobs, deliveries. Spans for traces, seconds and errors for the metrics.

The metrics register themselves here. Commands import the database before they decide where processes count, so nothing
below them may import `metrics.py`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from app.telemetry.spans import SpanKind, child_span, root_span


class DatabaseUse(StrEnum):
    """How the database is used."""

    TRANSACTION = "transaction"
    STATEMENT = "statement"
    SNAPSHOT = "snapshot"


Observer = Callable[[str, float, bool], None]
"""Is told of the kind, the seconds, and whether the work succeeded."""

_database_observers: list[Observer] = []
_job_observers: list[Observer] = []


def report_to(*, database: Observer, jobs: Observer) -> None:
    """Tell these observers of each use of the database and of each job."""
    _database_observers[:] = [database]
    _job_observers[:] = [jobs]


@contextmanager
def database_use(use: DatabaseUse) -> Iterator[None]:
    """Measure the block, with the wait for a connection. No statement is noted."""
    started_at, succeeded = time.perf_counter(), False
    try:
        with child_span(f"database {use.value}", SpanKind.CLIENT, {"db.system.name": "postgresql"}):
            yield
        succeeded = True
    finally:
        for observe in _database_observers:
            observe(use.value, time.perf_counter() - started_at, succeeded)


@contextmanager
def job_run(kind: str) -> Iterator[None]:
    """Measure a job of the queue. It is a trace of its own: several changes may have asked for it."""
    started_at, succeeded = time.perf_counter(), False
    try:
        with root_span(f"job {kind}", SpanKind.CONSUMER):
            yield
        succeeded = True
    finally:
        for observe in _job_observers:
            observe(kind, time.perf_counter() - started_at, succeeded)
