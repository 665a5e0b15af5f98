"""Dump the database with every tenant's rows, and count the rows of a dump.

Row-level security hides rows without an error: `pg_dump --enable-row-security` by the service's login writes a dump
without a tenant. Here a login must bypass it or may become `vultus_operator`, whose policies show every row. The dump
is then compared, table by table, with the snapshot that it was made from.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from app.errors import DatabaseNotReady, OperatorError
from app.persistence.connections.database import OPERATOR_ROLE, driver_address
from app.persistence.provisioning.postgres_programs import connection_environment, find_program, running

TENANTS = "public.tenants"
REQUIRED = (TENANTS, "public.subjects", "public.templates")
"""A dump without one of these tables is not a backup of Vultus."""

Rows = dict[str, int]
"""Rows by table, as `schema.table`."""

_CONNECT_TIMEOUT_S = 5
_RIGHTS = """
SELECT session_user::text AS name, rolsuper OR rolbypassrls AS bypasses,
       EXISTS (SELECT FROM pg_roles AS operator WHERE operator.rolname = $1
               AND pg_has_role(session_user, operator.oid, 'MEMBER')) AS is_operator
FROM pg_roles WHERE rolname = session_user
"""
# Tables of an extension are not dumped: the extension creates them.
_TABLES = """
SELECT format('%I.%I', nspname, relname) AS name, c.oid, relrowsecurity AS is_protected
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
ORDER BY 1
"""
_HIDING = f"""
SELECT name FROM ({_TABLES}) AS t WHERE is_protected AND (
    EXISTS (SELECT FROM pg_policy WHERE polrelid = t.oid AND NOT polpermissive) OR NOT EXISTS (
        SELECT FROM pg_policy WHERE polrelid = t.oid AND polpermissive AND polcmd IN ('*', 'r')
        AND pg_get_expr(polqual, polrelid) = 'true'
        AND $1::regrole = ANY (polroles)))
"""  # noqa: S608 - made of constants
_UNLIMITED = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""


async def create_backup(url: str, target: Path) -> Rows:
    """Dump the database into `target` (pg_dump's custom format, mode 0600) and return the rows of each table.

    `target` appears, or is replaced, only when the dump is complete: it holds the rows of each table that one
    serializable, deferrable snapshot shows. Raises `DatabaseNotReady` if the login does not see every row, and
    `OperatorError` if the database has no tenants or the dump lacks rows.
    """
    async with _snapshot(url) as (connection, role, snapshot):
        expected = await _count_rows(connection)
        if not expected.get(TENANTS):
            raise OperatorError("The database has no tenants, so there is nothing to back up.")
        with _replacement(target) as partial:
            await _dump(url, partial, role, snapshot)
            _compare(expected, await count_dumped_rows(partial))
    return expected


async def count_stored_tenants(url: str) -> int:
    """Return how many tenants the database has; raises `DatabaseNotReady` if the login does not see all."""
    async with _snapshot(url) as (connection, _, _):
        return int(await connection.fetchval("SELECT count(*) FROM tenants"))


async def count_dumped_rows(file: Path) -> Rows:
    """Read a whole dump and return the rows of each table; nothing is restored.

    Raises `OperatorError` if the file is incomplete or no dump.
    """
    counter = _RowCounter()
    program = find_program("pg_restore")
    async with running(program, ["--data-only", "--file=-", str(file)]) as blocks:
        async for block in blocks:
            counter.read(block)
    return counter.rows


class _RowCounter:
    """Counts the lines of each COPY block in pg_restore's output."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self._table: str | None = None
        self._rest = b""

    def read(self, block: bytes) -> None:
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            if self._table is not None:
                if line == b"\\.":
                    self._table = None
                else:
                    self.rows[self._table] += 1
            elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;"):
                self._table = line[len(b"COPY ") : line.index(b" (")].decode()
                self.rows[self._table] = 0


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[tuple[asyncpg.Connection, str | None, str]]:
    """Open a snapshot in which every row is visible; yields the connection, the role it entered and its name."""
    try:
        connection = await asyncpg.connect(driver_address(url), timeout=_CONNECT_TIMEOUT_S, statement_cache_size=0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        raise DatabaseNotReady(f"PostgreSQL does not accept the connection for the backup: {exc}.") from exc
    try:
        role = await _reading_role(connection)
        # Deferrable waits for a snapshot that no serialization failure can follow.
        async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
            await connection.execute(f"SET LOCAL ROLE {role}" if role else "SET LOCAL row_security = off")
            await connection.execute(_UNLIMITED)
            yield connection, role, await connection.fetchval("SELECT pg_export_snapshot()")
    except asyncpg.PostgresError as exc:
        raise DatabaseNotReady(f"PostgreSQL refused to read everything for the backup: {exc}.") from exc
    finally:
        await connection.close()


async def _reading_role(connection: asyncpg.Connection) -> str | None:
    """Return the role that sees every row, None if the login itself does; raises `DatabaseNotReady` otherwise."""
    rights = await connection.fetchrow(_RIGHTS, OPERATOR_ROLE)
    if rights["bypasses"]:
        return None
    if not rights["is_operator"]:
        raise DatabaseNotReady(
            f"The login {rights['name']!r} does not see every tenant, so its dump would lack rows. Set "
            f"VULTUS_DATABASE_BACKUP_URL to a login with BYPASSRLS (`vultus backup create-login`), or "
            f"VULTUS_DATABASE_ADMIN_URL to the owner."
        )
    hiding = [row["name"] for row in await connection.fetch(_HIDING, OPERATOR_ROLE)]
    if hiding:
        raise DatabaseNotReady(
            f"The role {OPERATOR_ROLE} does not see every row of {', '.join(hiding)}: run `vultus migrate`, or set "
            f"VULTUS_DATABASE_BACKUP_URL to a login with BYPASSRLS."
        )
    return OPERATOR_ROLE


async def _count_rows(connection: asyncpg.Connection) -> Rows:
    names = [row["name"] for row in await connection.fetch(_TABLES)]
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608 - quoted


async def _dump(url: str, target: Path, role: str | None, snapshot: str) -> None:
    address, environment = connection_environment(url)
    arguments = ["--format=custom", f"--file={target}", f"--snapshot={snapshot}", "--no-password"]
    if role is not None:
        arguments += [f"--role={role}", "--enable-row-security"]
    async with running(find_program("pg_dump"), [*arguments, f"--dbname={address}"], environment) as blocks:
        async for _ in blocks:
            pass


def _compare(expected: Rows, found: Rows) -> None:
    differing = [
        f"{name}: {found.get(name, 0)} of {rows} rows" for name, rows in expected.items() if found.get(name, 0) != rows
    ]
    if differing:
        raise OperatorError(f"The dump is not complete and was deleted: {', '.join(differing)}.")


@contextmanager
def _replacement(target: Path) -> Iterator[Path]:
    """Yield a new file of mode 0600 next to `target` that replaces it after the block, or is deleted on an error."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-", suffix=".partial")
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
