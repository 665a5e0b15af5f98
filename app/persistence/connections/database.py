"""Connections and transactions; the only file that builds a SQLAlchemy engine.

Every transaction says for whom it runs, in its first statement and for itself alone, so a pooler that hands the
connection to somebody else afterwards hands over nothing: the role `vultus_app`, which row-level security binds, and
the tenant. Without a tenant it sees no tenant's rows.
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
from app.persistence.connections.errors import unavailability
from app.persistence.connections.statements import StatementPool
from app.persistence.erasure_journal import Erased, ErasureJournal
from app.telemetry import get_logger

_log = get_logger(__name__)

Transaction: TypeAlias = AsyncSession
"""What repositories read and write in; services pass it on without looking inside."""

APP_ROLE = "vultus_app"
OPERATOR_ROLE = "vultus_operator"

ERASED = "erased"
"""In a session's `info`: what it erased, for the journal once it has committed."""

_CONNECT_TIMEOUT_S = 5
_POOL_TIMEOUT_S = 10
_STATEMENT_TIMEOUT = "30s"
_INSUFFICIENT_PRIVILEGE = "42501"
_CONTEXT = text(
    "SELECT set_config('role', :role, true), set_config('app.tenant_id', :tenant_id, true), "
    "set_config('app.lookup', :lookup, true), set_config('statement_timeout', :timeout, true)"
)


@dataclass(frozen=True, slots=True)
class LoginRights:
    """What the database login could do behind the app's back."""

    name: str
    bypasses_row_security: bool
    owns_tables: bool

    @property
    def is_confined(self) -> bool:
        """Whether row-level security holds even if somebody made the login leave its role."""
        return not (self.bypasses_row_security or self.owns_tables)


class Database:
    """One process's pool of connections to PostgreSQL."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        behind_pgbouncer: bool = False,
        journal: ErasureJournal | None = None,
    ) -> None:
        self._journal = journal
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            hide_parameters=True,  # an exception's message must not carry names or embeddings into a log
            connect_args=_connect_args(behind_pgbouncer),
        )
        self._statements = StatementPool(
            driver_address(url), size=max(2, pool_size // 2), behind_pgbouncer=behind_pgbouncer
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(
        self, tenant_id: UUID | None = None, *, lookup: str | None = None, as_operator: bool = False
    ) -> AsyncIterator[AsyncSession]:
        """A session that commits when the block ends and rolls back when it raises.

        What was erased in it goes to the erasure journal before it returns. It sees the rows of `tenant_id`, and of the
        one login or key that `lookup` names; `as_operator`, which the service's own login may not, sees all. It takes a
        connection with its first query, not before. Raises `DatabaseUnavailable` when PostgreSQL cannot be reached or
        the pool has no connection to give.
        """
        context = {
            "role": OPERATOR_ROLE if as_operator else APP_ROLE,
            "tenant_id": str(tenant_id) if tenant_id else "",
            "lookup": lookup or "",
            "timeout": _STATEMENT_TIMEOUT,
        }
        with unavailability(), _operator_rights(as_operator):
            erased: list[Erased] = []
            async with self._sessions(info={"context": context, ERASED: erased}) as session, session.begin():
                yield session
        if erased and self._journal is not None:
            try:
                await asyncio.to_thread(self._journal.append, erased)
            except OSError as exc:  # it is erased all the same; restoring a backup would bring it back
                _log.error("erasures_not_noted_in_the_journal", count=len(erased), error=type(exc).__name__)

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single statements on tables without tenants: one round trip, no context."""
        with unavailability():
            async with self.engine.connect() as connection:
                yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def fetch_row(self, statement: str, *values: object) -> Any:
        """The first row of one statement: one round trip, no ORM, and no context.

        So for tables without tenants, and for functions that enter a tenant themselves.
        """
        return await self._statements.fetch_row(statement, *values)

    async def revision(self) -> str | None:
        """The migration that the database stands at; None before the first one."""
        with unavailability():
            async with self.engine.connect() as connection:
                if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                    return None
                revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision

    async def login_rights(self) -> LoginRights:
        """What the login of this pool could do outside its role."""
        statement = text("""
            SELECT session_user::text,
                   bool_or(rolsuper OR rolbypassrls OR rolcreaterole OR rolname = :operator),
                   EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                           AND pg_has_role(session_user, relowner, 'MEMBER'))
            FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
        """)
        with unavailability():
            async with self.engine.connect() as connection:
                rights = LoginRights(*(await connection.execute(statement, {"operator": OPERATOR_ROLE})).one())
        return rights

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        await self._statements.close()


@contextmanager
def _operator_rights(are_needed: bool) -> Iterator[None]:
    """A login that may not become the operator is a wrong setting, and says which."""
    try:
        yield
    except DBAPIError as exc:
        if are_needed and getattr(exc.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
            raise DatabaseNotReady(
                f"The database login may not act as {OPERATOR_ROLE}: set VULTUS_DATABASE_ADMIN_URL to one that may."
            ) from exc
        raise


def _refuse_closed(connection: Any, _: object, __: object) -> None:
    """A connection that the server or the network closed is replaced by another, without asking it each time.

    asyncpg knows as soon as the socket does; a ping would cost a round trip a transaction.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


@event.listens_for(Session, "after_begin")
def _enter_context(session: Session, _: SessionTransaction, connection: Connection) -> None:
    """First statement of every transaction; local to it. A nested one (a savepoint) inherits it."""
    context = session.info.get("context")
    if context is not None:
        connection.execute(_CONTEXT, context)


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


def driver_address(url: str) -> str:
    """The same address for asyncpg itself, which reads `sslmode` as libpq does."""
    parsed = async_url(url).set(drivername="postgresql")
    if "ssl" in parsed.query:
        mode = parsed.query["ssl"]
        parsed = parsed.difference_update_query(["ssl"]).update_query_dict({"sslmode": mode})
    return parsed.render_as_string(hide_password=False)


def _connect_args(behind_pgbouncer: bool) -> dict[str, object]:
    if not behind_pgbouncer:
        return {"timeout": _CONNECT_TIMEOUT_S, "server_settings": {"application_name": "vultus"}}
    # In transaction mode the next statement may meet another server connection: nothing may be prepared by name.
    return {
        "timeout": _CONNECT_TIMEOUT_S,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"vultus_{uuid4().hex}",
    }
