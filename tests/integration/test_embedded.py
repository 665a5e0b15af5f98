"""The embedded PostgreSQL: closed to other users, shared between processes, no wider than it must be."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from app.persistence.provisioning.embedded import EmbeddedPostgres

_JOIN = """
import sys
from pathlib import Path
from app.persistence.provisioning.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start())
server.stop()
"""


async def test_other_users_cannot_open_the_socket(postgres: EmbeddedPostgres, data_dir: Path) -> None:
    sockets = [path for path in (data_dir / "postgres").iterdir() if stat.S_ISSOCK(path.stat().st_mode)]
    assert len(sockets) == 1
    assert stat.S_IMODE(sockets[0].stat().st_mode) == 0o700


async def test_statements_and_their_parameters_stay_out_of_the_servers_log(
    postgres: EmbeddedPostgres, data_dir: Path
) -> None:
    connection = await asyncpg.connect(await postgres.ensure_database("logging"))
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute("SELECT 'canary-4711'::int")
    with pytest.raises(asyncpg.PostgresError):
        await connection.fetchval("SELECT 1/0 WHERE $1::text IS NOT NULL", "canary-4712")
    await connection.close()
    log = (data_dir / "postgres" / "log").read_text()
    assert "division by zero" in log
    assert "canary-4712" not in log
    assert "STATEMENT" not in log


async def test_a_second_process_joins_and_does_not_stop_the_server(postgres: EmbeddedPostgres, data_dir: Path) -> None:
    joined = subprocess.run([sys.executable, "-c", _JOIN, str(data_dir)], check=True, capture_output=True, text=True)
    assert joined.stdout.startswith("postgresql://")
    connection = await asyncpg.connect(await postgres.ensure_database("joined"))
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root's server changes directories")
def test_parents_of_the_data_are_not_opened_for_listing() -> None:
    with tempfile.TemporaryDirectory() as name:
        private = Path(name) / "private"
        private.mkdir(mode=0o700)
        server = EmbeddedPostgres(private / "data")
        server.start()
        try:
            assert stat.S_IMODE(private.stat().st_mode) == 0o711
        finally:
            server.stop()
