"""The search path's own connections: raw asyncpg, embeddings in binary, so many searches at a time and no more.

A search is a scan of memory on one core of the database: more at a time than cores only makes all of them slow. What is
read in one block is one snapshot. The codec for embeddings is why this pool is apart: SQLAlchemy's connections send
them as text, and one connection can do only one of the two.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import numpy as np

from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.errors import Overloaded
from app.persistence.connections.database import APP_ROLE, driver_address
from app.persistence.connections.driver import Connection, DriverPool

_WAIT_S = 5
# The last lines make the planner read the covering indexes, on one core, uncompiled: it is a scan of memory.
_BEGIN = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT set_config('role', '{role}', true), set_config('app.tenant_id', '{tenant_id}', true),
       set_config('statement_timeout', '30s', true), set_config('work_mem', '16MB', true),
       set_config('random_page_cost', '1.1', true), set_config('max_parallel_workers_per_gather', '0', true),
       set_config('jit', 'off', true)
"""
_HEADER = EMBEDDING_SIZE.to_bytes(2, "big") + b"\0\0"


class SnapshotPool:
    """One process's connections for searching; they are opened as they are needed."""

    def __init__(self, url: str, *, size: int, behind_pgbouncer: bool = False) -> None:
        address = driver_address(url)
        self._pool = DriverPool(address, size=size, behind_pgbouncer=behind_pgbouncer, init=use_binary_embeddings)
        self._size = size
        self._turns = asyncio.Semaphore(size)

    @asynccontextmanager
    async def snapshot(self, tenant_id: UUID) -> AsyncIterator[Connection]:
        """A connection that sees the tenant's rows, all at one moment, and writes nothing.

        Raises `Overloaded` when no search ends in time to make room, `DatabaseUnavailable` when PostgreSQL does not
        answer.
        """
        async with self._turn(), self._pool.connection(wait_s=_WAIT_S) as connection:
            try:
                # One round trip: several statements, which only the simple protocol takes, without parameters.
                await connection.execute(_BEGIN.format(role=APP_ROLE, tenant_id=UUID(str(tenant_id))))
                yield connection
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")  # nothing was written
            except BaseException:
                connection.terminate()  # cancelled or broken: its state is unknown
                raise

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded(f"{self._size} searches run, the most at a time; none ended in {_WAIT_S} s.") from None
        try:
            yield
        finally:
            self._turns.release()


async def use_binary_embeddings(connection: Connection) -> None:
    """Let the connection take embeddings as `encode_embedding` makes them and give them as (512,) float32."""
    schema = await connection.fetchval("SELECT typnamespace::regnamespace::text FROM pg_type WHERE typname = 'halfvec'")
    await connection.set_type_codec("halfvec", schema=schema, format="binary", encoder=bytes, decoder=_decode)


def encode_embedding(embedding: Embedding) -> bytes:
    """An embedding as a parameter: dimensions and zero as 16-bit integers, then the numbers, all big-endian.

    The format is pgvector's `halfvec_recv`. A numpy array itself asyncpg would take for an array of the database.
    """
    return _HEADER + embedding.astype(">f2").tobytes()


def _decode(raw: bytes) -> Embedding:
    return np.frombuffer(raw, ">f2", offset=len(_HEADER)).astype(np.float32)
