"""The search path's own connections: raw asyncpg, embeddings in binary, so many searches at a time and no more.

A search is a scan of memory on one core of the database: more at a time than cores only makes all of them slow. What is
read in one block is one snapshot. The codec for embeddings is why this pool is apart: SQLAlchemy's connections send
them as text, and one connection can do only one of the two.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np

from app.domain import EMBEDDING_SIZE, Embedding
from app.errors import Overloaded
from app.persistence.brief_pool import BriefPool
from app.persistence.database import APP_ROLE, driver_address
from app.persistence.unavailability import unavailability

_CONNECT_TIMEOUT_S = 5
_WAIT_S = 5
_COMMAND_TIMEOUT_S = 35  # beyond the database's own 30: for a network that fell silent
# The last lines make the planner read the covering indexes, on one core, uncompiled: it is a scan of memory.
_BEGIN = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT set_config('role', '{role}', true), set_config('app.tenant_id', '{tenant_id}', true),
       set_config('statement_timeout', '30s', true), set_config('work_mem', '16MB', true),
       set_config('random_page_cost', '1.1', true), set_config('max_parallel_workers_per_gather', '0', true),
       set_config('jit', 'off', true)
"""
_HEADER = EMBEDDING_SIZE.to_bytes(2, "big") + b"\0\0"

Connection = Any
"""An asyncpg connection; the package has no types."""


class SearchPool:
    """One process's connections for searching; they are opened as they are needed."""

    def __init__(self, url: str, *, size: int, behind_pgbouncer: bool = False) -> None:
        self._url = url
        self._brief = BriefPool(driver_address(url), size=size, behind_pgbouncer=behind_pgbouncer)
        self._size = size
        self._behind_pgbouncer = behind_pgbouncer
        self._turns = asyncio.Semaphore(size)
        self._opening = asyncio.Lock()
        self._pool: Any = None

    @asynccontextmanager
    async def snapshot(self, tenant_id: UUID) -> AsyncIterator[Connection]:
        """A connection that sees the tenant's rows, all at one moment, and writes nothing.

        Raises `Overloaded` when no search ends in time to make room, `DatabaseUnavailable` when PostgreSQL does not
        answer.
        """
        async with self._turn():
            with unavailability():
                pool = await self._open()
                connection = await pool.acquire(timeout=_CONNECT_TIMEOUT_S)
                try:
                    # One round trip: several statements, which only the simple protocol takes, without parameters.
                    await connection.execute(_BEGIN.format(role=APP_ROLE, tenant_id=UUID(str(tenant_id))))
                    yield connection
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")  # nothing was written
                except BaseException:
                    connection.terminate()  # cancelled or broken: its state is unknown
                    raise
                finally:
                    await pool.release(connection)

    async def fetch_row(self, statement: str, *values: object) -> Any:
        """As `BriefPool.fetch_row`, for what a search asks in one statement; it waits for no turn."""
        return await self._brief.fetch_row(statement, *values)

    async def close(self) -> None:
        """Close every connection."""
        await self._brief.close()
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

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

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    driver_address(self._url),
                    min_size=0,
                    max_size=self._size,
                    timeout=_CONNECT_TIMEOUT_S,
                    command_timeout=_COMMAND_TIMEOUT_S,
                    init=use_binary_embeddings,
                    reset=_leave_as_it_is,
                    # In transaction mode the next transaction may meet another server connection, which knows no
                    # statement of ours by name. Inside one, unnamed statements are safe.
                    statement_cache_size=0 if self._behind_pgbouncer else 100,
                )
        return self._pool


async def use_binary_embeddings(connection: Connection) -> None:
    """Let the connection take embeddings as `encode_embedding` makes them and give them as (512,) float32."""
    schema = await connection.fetchval("SELECT typnamespace::regnamespace::text FROM pg_type WHERE typname = 'halfvec'")
    await connection.set_type_codec("halfvec", schema=schema, format="binary", encoder=bytes, decoder=_decode)


async def _leave_as_it_is(_: Connection) -> None:
    """Everything was set for one transaction: nothing is left to reset."""


def encode_embedding(embedding: Embedding) -> bytes:
    """An embedding as a parameter: dimensions and zero as 16-bit integers, then the numbers, all big-endian.

    The format is pgvector's `halfvec_recv`. A numpy array itself asyncpg would take for an array of the database.
    """
    return _HEADER + embedding.astype(">f2").tobytes()


def _decode(raw: bytes) -> Embedding:
    return np.frombuffer(raw, ">f2", offset=len(_HEADER)).astype(np.float32)
