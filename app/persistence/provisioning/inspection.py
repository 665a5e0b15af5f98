"""Read how a database is set up, with the service's login: versions, rights, row-level security, clock, limits."""

import time
from dataclasses import dataclass

import asyncpg

from app.persistence.connections.database import APP_ROLE, OPERATOR_ROLE, driver_address

_TIMEOUT_S = 5
_RIGHTS = """
SELECT bool_or(rolsuper OR rolbypassrls OR rolcreaterole OR rolname = $2) AS bypasses,
       bool_or(rolname = $1) AS is_service,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
               AND pg_has_role(session_user, relowner, 'MEMBER')) AS owns_tables
FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
"""
# Every table with rows of tenants; the service sees its columns, so information_schema would hide none of them either.
_UNPROTECTED = """
SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'
      AND NOT a.attisdropped
      AND NOT (c.relrowsecurity AND c.relforcerowsecurity
               AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What one connection with the service's login found."""

    login: str
    server_version: int
    """As PostgreSQL's `server_version_num`: 180004 is 18.4."""
    vector_version: str | None
    """The version of the extension pgvector in the database; None if it is not installed."""
    revision: str | None
    """The newest applied migration; None for an unmigrated database."""
    bypasses_row_security: bool
    owns_tables: bool
    is_service: bool
    """Whether the login is a member of `vultus_app`."""
    unprotected_tables: tuple[str, ...]
    """Tables with rows of tenants, on which row-level security is not enabled and forced, or has no policy."""
    visible_without_tenant: int | None
    """How many subjects the login sees without naming a tenant: 0, if row-level security works; None: not tried."""
    clock_offset_s: float
    """The server's clock minus this host's, in seconds; exact to half the round trip."""
    max_connections: int


async def inspect_database(url: str) -> DatabaseFacts:
    """Read the facts in one connection; changes nothing.

    Raises asyncpg's errors, `OSError` or `TimeoutError` if the server cannot be reached.
    """
    connection = await asyncpg.connect(driver_address(url), timeout=_TIMEOUT_S, statement_cache_size=0)
    try:
        before = time.time()
        server_time = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))
        offset = server_time - (before + time.time()) / 2
        rights = await connection.fetchrow(_RIGHTS, APP_ROLE, OPERATOR_ROLE)
        revision = None
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is not None:
            revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        return DatabaseFacts(
            login=await connection.fetchval("SELECT session_user::text"),
            server_version=int(await connection.fetchval("SHOW server_version_num")),
            vector_version=await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'vector'"),
            revision=revision,
            bypasses_row_security=bool(rights["bypasses"]),
            owns_tables=rights["owns_tables"],
            is_service=bool(rights["is_service"]),
            unprotected_tables=tuple(row["relname"] for row in await connection.fetch(_UNPROTECTED)),
            visible_without_tenant=await _count_visible(connection) if revision and rights["is_service"] else None,
            clock_offset_s=offset,
            max_connections=int(await connection.fetchval("SHOW max_connections")),
        )
    finally:
        await connection.close()


async def _count_visible(connection: asyncpg.Connection) -> int:
    """Count up to 1 subject as the service's role, with no tenant named."""
    async with connection.transaction(readonly=True):
        await connection.execute("SELECT set_config('role', $1, true), set_config('app.tenant_id', '', true)", APP_ROLE)
        return int(await connection.fetchval("SELECT count(*) FROM (SELECT 1 FROM subjects LIMIT 1) AS visible"))
