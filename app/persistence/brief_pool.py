"""Connections for single statements: one round trip each, without ORM and without a transaction of ours.

For what every request asks: who calls, how often, which collection. SQLAlchemy's way to a connection and back takes as
long as such a statement.
"""

import asyncio
from typing import Any

import asyncpg

from app.persistence.unavailability import unavailability

_CONNECT_TIMEOUT_S = 5
_WAIT_S = 10
_COMMAND_TIMEOUT_S = 35  # beyond the database's own 30: for a network that fell silent


class BriefPool:
    """One process's connections for brief questions; they are opened as they are needed."""

    def __init__(self, address: str, *, size: int, behind_pgbouncer: bool = False) -> None:
        self._address = address
        self._size = size
        self._behind_pgbouncer = behind_pgbouncer
        self._opening = asyncio.Lock()
        self._pool: Any = None

    async def fetch_row(self, statement: str, *values: object) -> Any:
        """The statement's first row; raises `DatabaseUnavailable` when PostgreSQL does not answer."""
        with unavailability():
            pool = self._pool or await self._open()
            connection = await pool.acquire(timeout=_WAIT_S)
            try:
                if not self._behind_pgbouncer:
                    return await connection.fetchrow(statement, *values)
                # In transaction mode parsing and executing may otherwise meet two server connections.
                async with connection.transaction():
                    return await connection.fetchrow(statement, *values)
            finally:
                await pool.release(connection)

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._address,
                    min_size=0,
                    max_size=self._size,
                    timeout=_CONNECT_TIMEOUT_S,
                    command_timeout=_COMMAND_TIMEOUT_S,
                    reset=_leave_as_it_is,
                    statement_cache_size=0 if self._behind_pgbouncer else 100,
                    server_settings=None if self._behind_pgbouncer else {"application_name": "vultus"},
                )
        return self._pool


async def _leave_as_it_is(_: Any) -> None:
    """Nothing was set beyond one statement: nothing is left to reset."""
