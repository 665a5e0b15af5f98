"""Connections and transactions; the only file that builds a SQLAlchemy engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.errors import DatabaseNotReady, DatabaseUnavailable

_CONNECT_TIMEOUT_S = 5
_POOL_TIMEOUT_S = 10
_STATEMENT_TIMEOUT = "30s"


class Database:
    """One process's pool of connections to PostgreSQL."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            pool_pre_ping=True,
            connect_args={
                "timeout": _CONNECT_TIMEOUT_S,
                "server_settings": {"application_name": "vultus", "statement_timeout": _STATEMENT_TIMEOUT},
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that commits when the block ends and rolls back when it raises.

        It takes a connection with its first query, not before. Raises `DatabaseUnavailable` when PostgreSQL cannot be
        reached or the pool has no connection to give.
        """
        try:
            async with self._sessions() as session, session.begin():
                yield session
        except (InterfaceError, OperationalError, PoolTimeoutError, OSError) as exc:
            raise DatabaseUnavailable from exc

    async def revision(self) -> str | None:
        """The migration that the database stands at; None before the first one."""
        async with self.transaction() as session:
            if await session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return None
            revision: str | None = await session.scalar(text("SELECT version_num FROM alembic_version"))
            return revision

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def async_url(url: str) -> URL:
    """A `postgresql://` address for SQLAlchemy's asyncpg driver; libpq's `sslmode` becomes asyncpg's `ssl`."""
    parsed = make_url(url)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseNotReady("VULTUS_DATABASE_URL is not a postgresql:// address.")
    parsed = parsed.set(drivername="postgresql+asyncpg")
    if "sslmode" in parsed.query:
        mode = parsed.query["sslmode"]
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return parsed
