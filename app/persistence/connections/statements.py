"""`StatementPool`: hot single statements on raw asyncpg, one round trip each.

For the queries of every request: the caller, their rate counters, the collection. Checking out a SQLAlchemy connection
takes as long as such a statement. Statements run without ORM, transaction and tenant context.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.persistence.connections.driver import DriverPool
from app.persistence.connections.watchdog import Connection, Watchdog
from app.telemetry.operations import DatabaseUse, database_use

_WAIT_S = 10


class StatementPool:
    """One process's asyncpg connections for hot single-statement queries."""

    def __init__(
        self, address: str, *, size: int, behind_pgbouncer: bool = False, watchdog: Watchdog | None = None
    ) -> None:
        self._pool = DriverPool(address, size=size, behind_pgbouncer=behind_pgbouncer, watchdog=watchdog)
        self._behind_pgbouncer = behind_pgbouncer

    async def fetch_row(self, statement: str, *values: object) -> Any:
        """Return the statement's first row, None if there is none; raises `DatabaseUnavailable`."""
        async with self._connection() as connection:
            return await connection.fetchrow(statement, *values)

    async def fetch_rows(self, statement: str, *values: object) -> list[Any]:
        """Return the statement's rows; raises `DatabaseUnavailable`."""
        async with self._connection() as connection:
            return list(await connection.fetch(statement, *values))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with database_use(DatabaseUse.STATEMENT):
            async with self._pool.connection(wait_s=_WAIT_S) as connection:
                if not self._behind_pgbouncer:
                    yield connection
                    return
                # In transaction mode, parse and execute might otherwise run on two server connections.
                async with connection.transaction():
                    yield connection

    async def close(self) -> None:
        await self._pool.close()
