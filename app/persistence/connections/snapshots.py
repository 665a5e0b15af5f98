"""`SnapshotPool`: read-only snapshots for searches, on raw asyncpg with embeddings in binary.

A search scans memory on one core of the database server, so more concurrent searches than cores would slow all of them
down. The pool's size is therefore the limit of concurrent searches. All reads in one block see one snapshot.

The pool is separate because of the embedding codec: SQLAlchemy's connections send embeddings as text, and a connection
can have only one codec.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import numpy as np

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.errors import Overloaded
from app.persistence.connections.database import APP_ROLE, driver_address
from app.persistence.connections.driver import DriverPool
from app.persistence.connections.watchdog import Connection, Watchdog
from app.telemetry.operations import DatabaseUse, database_use

_WAIT_S = 5
# The planner settings favor the covering indexes on one core without JIT: a search scans memory.
_BEGIN = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT set_config('role', '{role}', true), set_config('app.tenant_id', '{tenant_id}', true),
       set_config('statement_timeout', '30s', true), set_config('work_mem', '16MB', true),
       set_config('random_page_cost', '1.1', true), set_config('max_parallel_workers_per_gather', '0', true),
       set_config('jit', 'off', true)
"""
_HEADER = EMBEDDING_SIZE.to_bytes(2, "big") + b"\0\0"


class SnapshotPool:
    """One process's connections for searches, opened on demand."""

    def __init__(
        self, url: str, *, size: int, behind_pgbouncer: bool = False, watchdog: Watchdog | None = None
    ) -> None:
        address = driver_address(url)
        self._pool = DriverPool(
            address, size=size, behind_pgbouncer=behind_pgbouncer, init=use_binary_embeddings, watchdog=watchdog
        )
        self._size = size
        self._slots = asyncio.Semaphore(size)

    @asynccontextmanager
    async def snapshot(self, tenant_id: UUID) -> AsyncIterator[Connection]:
        """Lend a connection whose reads see one read-only snapshot of the tenant's rows.

        Raises `Overloaded` when no slot becomes free within 5 s, `DatabaseUnavailable` when PostgreSQL does not
        respond.
        """
        with database_use(DatabaseUse.SNAPSHOT):
            async with self._slot(), self._pool.connection(wait_s=_WAIT_S) as connection:
                try:
                    # One round trip for several statements needs the simple protocol, which takes no parameters.
                    await connection.execute(_BEGIN.format(role=APP_ROLE, tenant_id=UUID(str(tenant_id))))
                    yield connection
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")  # nothing was written
                except BaseException:
                    connection.terminate()  # canceled or broken: its state is unknown
                    raise

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise Overloaded(
                f"{self._size} searches are running, which is the limit, and none ended within {_WAIT_S} s."
            ) from None
        try:
            yield
        finally:
            self._slots.release()


async def use_binary_embeddings(connection: Connection) -> None:
    """Register the codec for halfvec: parameters as `encode_embedding` returns them, results as (512,) float32."""
    schema = await connection.fetchval("SELECT typnamespace::regnamespace::text FROM pg_type WHERE typname = 'halfvec'")
    await connection.set_type_codec("halfvec", schema=schema, format="binary", encoder=bytes, decoder=_decode)


def encode_embedding(embedding: Embedding) -> bytes:
    """Encode an embedding (512,) as a halfvec parameter, in the format of pgvector's `halfvec_recv`.

    Dimensions and a zero as 16-bit integers, then the values as float16, all big-endian. The result is bytes because
    asyncpg would send a numpy array as a PostgreSQL array.
    """
    return _HEADER + embedding.astype(">f2").tobytes()


def _decode(raw: bytes) -> Embedding:
    return np.frombuffer(raw, ">f2", offset=len(_HEADER)).astype(np.float32)
