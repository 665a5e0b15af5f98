"""Read-write transactions for repositories, on a SQLAlchemy pool; the only file that builds an engine.

The first statement of every transaction sets, for this transaction only, the role and the tenant. The role `vultus_app`
is subject to row-level security. A pooler may therefore reuse the connection for another tenant. Without a tenant, a
transaction sees no tenant's rows. `Database` also owns a `StatementPool` for hot single statements.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction

from app.errors import DatabaseNotReady
from app.persistence.connections.errors import translate_errors
from app.persistence.connections.statements import StatementPool
from app.persistence.connections.watchdog import SERVER_TCP_SETTINGS, Watchdog, opener
from app.persistence.erasure_journal import Journal, JournalEntry
from app.telemetry import get_logger
from app.telemetry.operations import DatabaseUse, database_use
from app.telemetry.spans import current_traceparent

_log = get_logger(__name__)

Transaction: TypeAlias = AsyncSession
"""The session that repositories work in; services pass it on without using it."""

APP_ROLE = "vultus_app"
OPERATOR_ROLE = "vultus_operator"

_DRIVER = "driver"
"""Key in a session's `info`: the driver's own connection, in the session's transaction."""
ERASED = "erased"
"""Key in a session's `info`: the entries to append to the erasure journal after the commit."""

_CONNECT_TIMEOUT_S = 5
_POOL_TIMEOUT_S = 10
_STATEMENT_TIMEOUT = "30s"
_INSUFFICIENT_PRIVILEGE = "42501"
_CONTEXT = text(
    "SELECT set_config('role', :role, true), set_config('app.tenant_id', :tenant_id, true), "
    "set_config('app.lookup', :lookup, true), set_config('statement_timeout', :timeout, true)"
)
_TRACED_CONTEXT = text(f"{_CONTEXT.text}, set_config('app.traceparent', :traceparent, true)")
"""New photos, videos and events keep the trace of their change: it is the default of their column."""


@dataclass(frozen=True, slots=True)
class LoginRights:
    """Rights of the database login that would bypass row-level security."""

    name: str
    bypasses_row_security: bool
    owns_tables: bool

    @property
    def is_confined(self) -> bool:
        """Whether row-level security holds even if an attacker resets the login's role."""
        return not (self.bypasses_row_security or self.owns_tables)


class Database:
    """One process's connections to PostgreSQL: a SQLAlchemy pool and a smaller `StatementPool`."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        behind_pgbouncer: bool = False,
        journal: Journal | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Without `watchdog`, a statement waits for a frozen server; the commands, which run long statements, do."""
        self._journal = journal
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            hide_parameters=True,  # exception messages must not carry names or embeddings into a log
            connect_args=_connect_args(behind_pgbouncer) | {"async_creator_fn": opener(watchdog)},
        )
        self._statements = StatementPool(
            driver_address(url), size=max(2, pool_size // 2), behind_pgbouncer=behind_pgbouncer, watchdog=watchdog
        )
        event.listen(self.engine.sync_engine, "checkout", _reject_closed)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(
        self, tenant_id: UUID | None = None, *, lookup: str | None = None, as_operator: bool = False
    ) -> AsyncIterator[AsyncSession]:
        """Open a session that commits when the block ends and rolls back when the block raises.

        - Visible rows: those of `tenant_id`, and the one login or key that `lookup` names; all rows with `as_operator`,
          which the service's own login may not use.
        - The first query takes a connection from the pool, not the start of the block.
        - After the commit, erasures are appended to the erasure journal.

        Raises `DatabaseUnavailable` when PostgreSQL cannot be reached or no connection becomes free in 10 s, and
        `DatabaseNotReady` when the login lacks the operator role.
        """
        context = {
            "role": OPERATOR_ROLE if as_operator else APP_ROLE,
            "tenant_id": str(tenant_id) if tenant_id else "",
            "lookup": lookup or "",
            "timeout": _STATEMENT_TIMEOUT,
        }
        traceparent = current_traceparent()
        if traceparent is not None:
            context["traceparent"] = traceparent
        with database_use(DatabaseUse.TRANSACTION), translate_errors(), _explain_missing_operator_role(as_operator):
            erased: list[JournalEntry] = []
            async with self._sessions(info={"context": context, ERASED: erased}) as session, session.begin():
                yield session
        if erased and self._journal is not None:
            try:
                await asyncio.to_thread(self._journal.append, erased)
            except OSError as exc:  # the rows are erased, but restoring an older backup would bring them back
                _log.error("erasure_journal_write_failed", count=len(erased), error=type(exc).__name__)

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection in autocommit mode, without tenant context, for tables that belong to no tenant."""
        with translate_errors():
            async with self.engine.connect() as connection:
                yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def fetch_row(self, statement: str, *values: object) -> Any:
        """Run one statement and return its first row, None if there is none: one round trip, no ORM.

        It runs without tenant context: use it for tables without tenants and for functions that set the tenant
        themselves.
        """
        return await self._statements.fetch_row(statement, *values)

    async def fetch_rows(self, statement: str, *values: object) -> list[Any]:
        """Run one statement, as `fetch_row` does, and return all its rows."""
        return await self._statements.fetch_rows(statement, *values)

    async def revision(self) -> str | None:
        """Return the id of the newest applied migration; None for an unmigrated database."""
        with translate_errors():
            async with self.engine.connect() as connection:
                if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                    return None
                revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision

    async def needed_migration(self) -> str | None:
        """Return the newest migration that servers must know to work with this schema; None if none is noted."""
        with translate_errors():
            async with self.engine.connect() as connection:
                noted = await connection.scalar(text("SELECT obj_description(to_regclass('alembic_version'))"))
        return noted or None

    async def login_rights(self) -> LoginRights:
        """Query which rights the pool's login has beyond its role."""
        statement = text("""
            SELECT session_user::text,
                   bool_or(rolsuper OR rolbypassrls OR rolcreaterole OR rolname = :operator),
                   EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                           AND pg_has_role(session_user, relowner, 'MEMBER'))
            FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
        """)
        with translate_errors():
            async with self.engine.connect() as connection:
                rights = LoginRights(*(await connection.execute(statement, {"operator": OPERATOR_ROLE})).one())
        return rights

    async def close(self) -> None:
        await self.engine.dispose()
        await self._statements.close()


async def driver_connection(session: AsyncSession) -> Any:
    """Return the asyncpg connection of a session's transaction, for statements without SQLAlchemy's share of the time.

    They run in the same transaction, with its role, tenant and savepoints. Their errors are asyncpg's own, which
    `translate_errors` knows. Objects that the session has not flushed are not in the database yet.
    """
    if _DRIVER not in session.info:
        connection = await session.connection()  # begins the transaction and sets its context
        raw = await connection.get_raw_connection()
        session.info[_DRIVER] = raw.driver_connection
    return session.info[_DRIVER]


@contextmanager
def _explain_missing_operator_role(as_operator: bool) -> Iterator[None]:
    """Name the wrong setting when the login may not use the operator role."""
    try:
        yield
    except DBAPIError as exc:
        if as_operator and getattr(exc.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
            raise DatabaseNotReady(
                f"The database login may not use the role {OPERATOR_ROLE}: set VULTUS_DATABASE_ADMIN_URL to a login "
                f"that is a member of it."
            ) from exc
        raise


def _reject_closed(connection: Any, _: object, __: object) -> None:
    """Make the pool replace a connection that the server or the network closed.

    asyncpg notices a closed socket itself; a ping would cost one round trip per transaction.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


@event.listens_for(Session, "after_begin")
def _enter_context(session: Session, _: SessionTransaction, connection: Connection) -> None:
    """Set role and tenant in the first statement of every transaction; savepoints inherit them."""
    context = session.info.get("context")
    if context is not None:
        connection.execute(_TRACED_CONTEXT if "traceparent" in context else _CONTEXT, context)


def async_url(url: str) -> URL:
    """Convert a `postgresql://` URL for SQLAlchemy's asyncpg driver; `sslmode` (libpq) becomes `ssl` (asyncpg).

    Raises `DatabaseNotReady` for any other scheme.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseNotReady("VULTUS_DATABASE_URL must be a postgresql:// URL.")
    parsed = parsed.set(drivername="postgresql+asyncpg")
    if "sslmode" in parsed.query:
        mode = parsed.query["sslmode"]
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return parsed


def driver_address(url: str) -> str:
    """Convert a `postgresql://` URL for asyncpg itself, which reads `sslmode` as libpq does."""
    parsed = async_url(url).set(drivername="postgresql")
    if "ssl" in parsed.query:
        mode = parsed.query["ssl"]
        parsed = parsed.difference_update_query(["ssl"]).update_query_dict({"sslmode": mode})
    return parsed.render_as_string(hide_password=False)


def _connect_args(behind_pgbouncer: bool) -> dict[str, object]:
    if not behind_pgbouncer:
        settings = {"application_name": "vultus", **SERVER_TCP_SETTINGS}
        return {"timeout": _CONNECT_TIMEOUT_S, "server_settings": settings}
    # In transaction mode the next statement may run on another server connection, so names must never be reused.
    return {
        "timeout": _CONNECT_TIMEOUT_S,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"vultus_{uuid4().hex}",
    }
