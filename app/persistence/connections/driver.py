"""Pool of asyncpg connections, opened on demand: the shared base of `StatementPool` and `SnapshotPool`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.persistence.connections.errors import translate_errors
from app.persistence.connections.watchdog import SERVER_TCP_SETTINGS, Connection, Watchdog, opener

_CONNECT_TIMEOUT_S = 5
_SERVER_SETTINGS = {"application_name": "vultus", **SERVER_TCP_SETTINGS}
_COMMAND_TIMEOUT_S = 35  # above the database's statement_timeout of 30 s: for a network that stopped responding


class DriverPool:
    """One process's connections to one address, at most `size`; `init` runs on each new connection."""

    def __init__(
        self,
        address: str,
        *,
        size: int,
        behind_pgbouncer: bool,
        init: Callable[[Connection], Awaitable[None]] | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._address = address
        self._size = size
        self._behind_pgbouncer = behind_pgbouncer
        self._init = init
        self._connect = opener(watchdog)
        self._opening = asyncio.Lock()
        self._pool: Any = None

    @asynccontextmanager
    async def connection(self, *, wait_s: float) -> AsyncIterator[Connection]:
        """Lend a connection for the block.

        Raises `DatabaseUnavailable` when no connection becomes free in `wait_s` or PostgreSQL does not respond.
        """
        with translate_errors():
            pool = self._pool or await self._open()
            connection = await pool.acquire(timeout=wait_s)
            try:
                yield connection
            finally:
                await pool.release(connection)

    async def close(self) -> None:
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
                    connect=self._connect,
                    reset=_skip_reset,
                    # In transaction mode the next transaction may run on another server connection, which does not
                    # have our prepared statements. Within one transaction, unnamed statements are safe.
                    statement_cache_size=0 if self._behind_pgbouncer else 100,
                    server_settings=None if self._behind_pgbouncer else _SERVER_SETTINGS,
                )
        return self._pool


async def _skip_reset(_: Connection) -> None:
    """Save asyncpg's reset round trip: all settings are local to a transaction or statement."""
