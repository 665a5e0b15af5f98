"""asyncpg connections, opened as they are needed and closed together: what the pools without SQLAlchemy share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.persistence.connections.errors import unavailability

_CONNECT_TIMEOUT_S = 5
_COMMAND_TIMEOUT_S = 35  # beyond the database's own 30: for a network that fell silent

Connection = Any
"""An asyncpg connection; the package has no types."""


class DriverPool:
    """One process's connections to one address; `init` prepares each when it is opened."""

    def __init__(
        self,
        address: str,
        *,
        size: int,
        behind_pgbouncer: bool,
        init: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._address = address
        self._size = size
        self._behind_pgbouncer = behind_pgbouncer
        self._init = init
        self._opening = asyncio.Lock()
        self._pool: Any = None

    @asynccontextmanager
    async def connection(self, *, wait_s: float) -> AsyncIterator[Connection]:
        """One of them for the time of the block; raises `DatabaseUnavailable` when PostgreSQL does not answer."""
        with unavailability():
            pool = self._pool or await self._open()
            connection = await pool.acquire(timeout=wait_s)
            try:
                yield connection
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
                    init=self._init,
                    reset=_leave_as_it_is,
                    # In transaction mode the next transaction may meet another server connection, which knows no
                    # statement of ours by name. Inside one, unnamed statements are safe.
                    statement_cache_size=0 if self._behind_pgbouncer else 100,
                    server_settings=None if self._behind_pgbouncer else {"application_name": "vultus"},
                )
        return self._pool


async def _leave_as_it_is(_: Connection) -> None:
    """Everything was set for one transaction or one statement: nothing is left to reset."""
