"""Connections for single statements: one round trip each, without ORM and without a transaction of ours.

For what every request asks: who calls, how often, which collection. SQLAlchemy's way to a connection and back takes as
long as such a statement.
"""

from typing import Any

from app.persistence.connections.driver import DriverPool

_WAIT_S = 10


class StatementPool:
    """One process's connections for single statements."""

    def __init__(self, address: str, *, size: int, behind_pgbouncer: bool = False) -> None:
        self._pool = DriverPool(address, size=size, behind_pgbouncer=behind_pgbouncer)
        self._behind_pgbouncer = behind_pgbouncer

    async def fetch_row(self, statement: str, *values: object) -> Any:
        """The statement's first row; raises `DatabaseUnavailable` when PostgreSQL does not answer."""
        async with self._pool.connection(wait_s=_WAIT_S) as connection:
            if not self._behind_pgbouncer:
                return await connection.fetchrow(statement, *values)
            # In transaction mode parsing and executing may otherwise meet two server connections.
            async with connection.transaction():
                return await connection.fetchrow(statement, *values)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()
