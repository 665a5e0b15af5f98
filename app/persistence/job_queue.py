"""The job queue, on PgQueuer: the only file that knows it.

A job says for which tenant, and perhaps for which thing of the tenant, something is to be done and nothing else; our
own rows are the truth. `enqueue` works inside the transaction of the change, so that there is never one without the
other. PgQueuer hands a killed worker's job to another one, but does not count that; our rows do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import asyncpg
from pgqueuer import AsyncpgPoolDriver, Job, QueueManager
from pgqueuer.adapters.persistence import qb
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings
from sqlalchemy import text

from app.persistence.connections.database import Database, Transaction
from app.persistence.connections.watchdog import SERVER_TCP_SETTINGS, connect
from app.telemetry import get_logger
from app.telemetry.operations import job_run

_log = get_logger(__name__)

_SETTINGS = DBSettings(prefix="")
_HEARTBEAT = timedelta(seconds=20)
"""The jobs of a worker that was silent for so long are given to another one."""
_POLL = timedelta(seconds=2)
"""How long a worker waits for a notification before it looks for jobs: behind PgBouncer none arrive."""
_RESTART_S = 1.0
_CONNECT_TIMEOUT_S = 5
_SERVER_SETTINGS = {"application_name": "vultus-worker", **SERVER_TCP_SETTINGS}
_PRUNE = tuple(
    text(f"DELETE FROM {table} WHERE created < now() - interval '1 day'")  # noqa: S608 - names of tables, our own
    for table in (_SETTINGS.queue_table_log, _SETTINGS.statistics_table)
)

_COUNT = text(
    "SELECT entrypoint, count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'picked'), "  # noqa: S608 - the name of a table, our own
    f"min(created) FROM {_SETTINGS.queue_table} WHERE status IN ('queued', 'picked') GROUP BY entrypoint ORDER BY 1"
)


class JobKind(StrEnum):
    """What is to be done for a tenant."""

    PHOTO_TURN = "photos.turn"
    TEMPLATE_ROTATION = "templates.rotation"
    VIDEO_TURN = "videos.turn"
    WEBHOOK_TURN = "webhooks.turn"


@dataclass(frozen=True, slots=True)
class JobCount:
    """How many jobs of a kind wait and run, and since when the oldest of them exists."""

    kind: str
    waiting: int
    running: int
    oldest_at: datetime


async def count_jobs(database: Database) -> list[JobCount]:
    """Count the jobs that wait or run, by kind; needs the operator's login."""
    async with database.transaction(as_operator=True) as session:
        rows = await session.execute(_COUNT)
        return [JobCount(*row) for row in rows]


JobHandler = Callable[..., Awaitable[object]]
"""Does the work for a tenant, given by id, and for one thing of that tenant if the job names it."""


async def enqueue(
    transaction: Transaction, kind: JobKind, tenant_id: UUID, key: str, *, of: UUID | None = None
) -> None:
    """Add a job at the tail of the queue, within the transaction; while one with this key waits, no other is added.

    `of` names the thing of the tenant that the job is about.
    """
    connection = await (await transaction.connection()).get_raw_connection()
    driver_connection = connection.driver_connection
    assert driver_connection is not None
    queries = _queries(Queries.from_asyncpg_connection(driver_connection))
    payload = tenant_id.bytes + (of.bytes if of is not None else b"")
    await queries.enqueue(kind.value, payload, dedupe_key=key, on_conflict="skip")


async def prune_log(database: Database) -> None:
    """Delete what PgQueuer noted about jobs that ended more than a day ago; it never does."""
    async with database.transaction() as session:
        for statement in _PRUNE:
            await session.execute(statement)


class JobWorker:
    """Takes jobs from the queue and runs them, at most `concurrency` at a time, until it is stopped."""

    def __init__(self, address: str, *, concurrency: int, behind_pgbouncer: bool = False) -> None:
        self._address = address
        self._concurrency = concurrency
        self._behind_pgbouncer = behind_pgbouncer
        self._stopping = asyncio.Event()
        self._manager: QueueManager | None = None

    def start(self) -> None:
        """Take jobs again after a `stop`."""
        self._stopping.clear()

    async def run(self, handlers: Mapping[JobKind, JobHandler]) -> None:
        """Run jobs until `stop`; jobs that run then are finished. Connects again when the database comes back."""
        while not self._stopping.is_set():
            try:
                await self._run_connected(handlers)
            except Exception as exc:  # noqa: BLE001 - whatever the driver raises: the worker must outlive it
                _log.warning("job_queue_unavailable", error=type(exc).__name__)
                await self._pause()

    def stop(self) -> None:
        """Take no further jobs."""
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()

    async def _run_connected(self, handlers: Mapping[JobKind, JobHandler]) -> None:
        pool = await asyncpg.create_pool(
            self._address,
            min_size=1,
            max_size=3,
            timeout=_CONNECT_TIMEOUT_S,
            connect=connect,
            statement_cache_size=0 if self._behind_pgbouncer else 100,
            server_settings=None if self._behind_pgbouncer else _SERVER_SETTINGS,
        )
        try:
            manager = self._manager = QueueManager(_queries(Queries(AsyncpgPoolDriver(pool))))
            for kind, handle in handlers.items():
                manager.entrypoint(kind.value)(_unpacking(kind, handle))
            if self._stopping.is_set():
                return
            await manager.run(
                batch_size=1,
                max_concurrent_tasks=max(2, self._concurrency),
                dequeue_timeout=_POLL,
                heartbeat_timeout=_HEARTBEAT,
                log_aggregation_interval=timedelta(0),
            )
        finally:
            self._manager = None
            pool.terminate()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), _RESTART_S)
        except TimeoutError:
            return


def _unpacking(kind: JobKind, handle: JobHandler) -> Callable[[Job], Awaitable[None]]:
    async def take(job: Job) -> None:
        assert job.payload is not None
        ids = (UUID(bytes=job.payload[start : start + 16]) for start in range(0, len(job.payload), 16))
        with job_run(kind.value):
            await handle(*ids)

    return take


def _queries(queries: Queries) -> Queries:
    """Bind the statements to our settings: PgQueuer would read them from the environment."""
    queries.qbe = qb.QueryBuilderEnvironment(_SETTINGS)
    queries.qbq = qb.QueryQueueBuilder(_SETTINGS)
    return queries
