"""A backup holds every tenant's rows, or there is none: dumped, checked, restored, recognized."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from app.persistence.connections.database import APP_ROLE, OPERATOR_ROLE, driver_address
from app.persistence.provisioning.backups import count_dumped_rows, create_backup
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.persistence.provisioning.postgres_programs import find_program
from app.settings import Settings
from tests import pictures
from tests.api.conftest import PASSWORD, Running, sign_in, start
from tests.commands import PROGRAM, Commands

NAME, RESTORED = "backup_test", "backup_restored"
OWNER = "backup_owner"
EMAIL = "ada@backup.example"


@dataclass(frozen=True)
class Logins:
    """One database with a person in it, as its logins see it."""

    superuser: str
    owner: str
    service: str


def as_login(url: str, name: str) -> str:
    return make_url(url).set(username=name).render_as_string(hide_password=False)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(driver_address(url))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@asynccontextmanager
async def started(settings: Settings, service: str, journal: Path) -> AsyncIterator[Running]:
    own = settings.model_copy(update={"database_url": SecretStr(service), "erasure_journal": str(journal)})
    async with AsyncExitStack() as stack:
        yield await start(own, stack)


@pytest.fixture(scope="module")
async def logins(
    postgres: EmbeddedPostgres, database_url: str, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Logins:
    """Owned, as in production, by a login that is no superuser and that row-level security binds."""
    url = await postgres.ensure_database(NAME)
    await execute(
        url,
        f"CREATE ROLE {OWNER} LOGIN CREATEROLE",
        f"GRANT {APP_ROLE}, {OPERATOR_ROLE} TO {OWNER} WITH ADMIN OPTION",
        f"ALTER DATABASE {NAME} OWNER TO {OWNER}",
        "CREATE EXTENSION vector",
    )
    owner = as_login(url, OWNER)
    await asyncio.to_thread(migrate, owner)
    service = await postgres.ensure_service_login(NAME)
    async with started(settings, service, tmp_path_factory.mktemp("journal") / "j") as running:
        async with running.client() as client:
            body = {"tenant": "Acme", "email": EMAIL, "password": PASSWORD}
            (await client.post("/auth/signup", json=body)).raise_for_status()
            token = (await sign_in(client, EMAIL))["access_token"]
        async with running.client(token) as client:
            for seed, subject in ((1, "abel"), (2, "bob")):
                files = {"images": ("a.jpg", pictures.photo(seed), "image/jpeg")}
                (await client.post("/register", data={"subject": subject}, files=files)).raise_for_status()
    return Logins(url, owner, service)


def env_of(logins: Logins, **more: str) -> dict[str, str]:
    return {"VULTUS_DATABASE_URL": logins.service, "VULTUS_DATABASE_ADMIN_URL": logins.owner, **more}


def trapped_dump(logins: Logins, file: Path) -> None:
    """As the manual of PostgreSQL suggests when a dump fails by row-level security."""
    command = [str(find_program("pg_dump")), "--format=custom", "--enable-row-security", f"--file={file}"]
    # A service login that reads every table has to be granted `alembic_version` and what else belongs to no tenant.
    subprocess.run([*command, logins.service], check=True, stderr=subprocess.PIPE)


async def test_a_dump_by_the_owner_is_restored_and_only_the_erased_are_missing(
    logins: Logins, commands: Commands, settings: Settings, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    file = tmp_path / "vultus.dump"
    made = await asyncio.to_thread(commands.run, "backup", "create", file, "-q", env=env_of(logins), directory=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    rows = dict(line.split("\t") for line in made.stdout.splitlines())
    assert (rows["public.tenants"], rows["public.subjects"], rows["public.templates"]) == ("1", "2", "2")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["vultus.dump"]
    checked = await asyncio.to_thread(
        commands.run, "backup", "check", file, "-q", env=env_of(logins), directory=tmp_path
    )
    assert (checked.returncode, checked.stdout) == (0, made.stdout)

    journal = tmp_path / "elsewhere" / "journal"
    async with started(settings, logins.service, journal) as running:
        async with running.client() as client:
            token = (await sign_in(client, EMAIL))["access_token"]
        async with running.client(token) as client:
            (await client.delete("/collections/default/subjects/bob")).raise_for_status()
    new = await postgres.ensure_database(RESTORED)
    await execute(new, f"ALTER DATABASE {RESTORED} OWNER TO {OWNER}", "CREATE EXTENSION vector")
    restore = [str(find_program("pg_restore")), "--exit-on-error", "--no-comments", f"--dbname={as_login(new, OWNER)}"]
    await asyncio.to_thread(subprocess.run, [*restore, str(file)], check=True)
    service = await postgres.ensure_service_login(RESTORED)
    async with started(settings, service, journal) as running:
        async with running.client() as client:
            token = (await sign_in(client, EMAIL))["access_token"]
        async with running.client(token) as client:
            files = {"image": ("a.jpg", pictures.photo(1), "image/jpeg")}
            found = (await client.post("/recognize", files=files)).json()["faces"][0]["candidates"]
            left = (await client.get("/collections/default/subjects")).json()["items"]
    assert [found[0]["subject"], found[0]["decision"]] == ["abel", "match"]
    assert [item["subject"] for item in left] == ["abel"]  # bob was erased after the dump


async def test_the_dump_of_a_login_that_sees_no_tenant_is_refused(
    logins: Logins, commands: Commands, tmp_path: Path
) -> None:
    await execute(logins.owner, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {APP_ROLE}")
    file = tmp_path / "trap.dump"
    trapped_dump(logins, file)
    assert (await count_dumped_rows(file))["public.tenants"] == 0
    check = await asyncio.to_thread(commands.run, "backup", "check", file, env=env_of(logins), directory=tmp_path)
    assert (check.returncode, check.stdout) == (1, "")
    assert "holds no tenant, but the database has 1: row-level security hid them" in check.stderr
    own = {"VULTUS_DATABASE_URL": logins.service}
    target = tmp_path / "vultus.dump"
    made = await asyncio.to_thread(commands.run, "backup", "create", target, env=own, directory=tmp_path)
    assert made.returncode == 1
    assert "does not see every tenant" in made.stderr
    assert not target.exists()


async def test_a_login_for_backups_reads_everything_and_writes_nothing(
    logins: Logins, commands: Commands, tmp_path: Path
) -> None:
    refused = await asyncio.to_thread(commands.run, "backup", "create-login", env=env_of(logins), directory=tmp_path)
    assert refused.returncode == 1
    assert "CREATE ROLE vultus_backup LOGIN BYPASSRLS" in refused.stderr
    env = env_of(logins) | {"VULTUS_DATABASE_ADMIN_URL": logins.superuser}
    made = await asyncio.to_thread(commands.run, "backup", "create-login", "-q", env=env, directory=tmp_path)
    assert made.returncode == 0, made.stderr
    url = made.stdout.strip()
    again = await asyncio.to_thread(commands.run, "backup", "create-login", env=env, directory=tmp_path)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM tenants") == 1
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("DELETE FROM subjects")
        await connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM subjects")
    finally:
        await connection.close()
    file = tmp_path / "vultus.dump"
    only = {"VULTUS_DATABASE_URL": logins.service, "VULTUS_DATABASE_BACKUP_URL": url}
    dumped = await asyncio.to_thread(commands.run, "backup", "create", file, env=only, directory=tmp_path)
    assert (dumped.returncode, dumped.stderr) == (0, "")
    assert str(make_url(url).password) not in dumped.stdout
    assert (await count_dumped_rows(file))["public.templates"] > 0


async def test_a_password_that_the_login_was_created_with_is_its_password(
    logins: Logins, commands: Commands, data_dir: Path, tmp_path: Path
) -> None:
    env = env_of(logins) | {"VULTUS_DATABASE_ADMIN_URL": logins.superuser}
    made = await asyncio.to_thread(
        commands.run, "backup", "create-login", "with_password", "-q", env=env, directory=tmp_path
    )
    rules = data_dir / "postgres" / "pg_hba.conf"
    rules.write_text("local all with_password scram-sha-256\n" + rules.read_text())
    await execute(logins.superuser, "SELECT pg_reload_conf()")
    url, file = made.stdout.strip(), tmp_path / "vultus.dump"
    own = {"VULTUS_DATABASE_URL": logins.service, "VULTUS_DATABASE_BACKUP_URL": url}
    done = await asyncio.to_thread(commands.run, "backup", "create", file, env=own, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = make_url(url).set(password="hunter2").render_as_string(hide_password=False)
    own |= {"VULTUS_DATABASE_BACKUP_URL": wrong}
    done = await asyncio.to_thread(commands.run, "backup", "create", file, env=own, directory=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("vultus: VULTUS_DATABASE_BACKUP_URL: PostgreSQL at ")
    assert "hunter2" not in done.stderr


async def test_a_damaged_dump_is_refused_and_replaces_nothing(
    logins: Logins, commands: Commands, tmp_path: Path
) -> None:
    file = tmp_path / "vultus.dump"
    await create_backup(logins.owner, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    cut = await asyncio.to_thread(commands.run, "backup", "check", file, env=env_of(logins), directory=tmp_path)
    assert (cut.returncode, cut.stderr.count("\n")) == (1, 1)
    assert cut.stderr.startswith("vultus: pg_restore failed: ")
    file.write_text("not a dump")
    none = await asyncio.to_thread(commands.run, "backup", "check", file, env=env_of(logins), directory=tmp_path)
    assert (none.returncode, none.stderr.count("\n")) == (1, 1)
    file.write_bytes(whole)
    # A policy that hides rows: the owner's dump would lack them.
    hide = "CREATE POLICY hidden ON subjects AS RESTRICTIVE TO vultus_operator USING (false)"
    await execute(logins.owner, hide)
    try:
        made = await asyncio.to_thread(commands.run, "backup", "create", file, env=env_of(logins), directory=tmp_path)
    finally:
        await execute(logins.owner, "DROP POLICY hidden ON subjects")
    assert (made.returncode, "does not see every row of public.subjects" in made.stderr) == (1, True)
    assert file.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["vultus.dump"]


async def test_a_database_without_tenants_is_no_reason_to_refuse_its_dump(
    postgres: EmbeddedPostgres, commands: Commands, tmp_path: Path
) -> None:
    url = await postgres.ensure_database("backup_empty")
    await asyncio.to_thread(migrate, url)
    env = {"VULTUS_DATABASE_URL": url}
    made = await asyncio.to_thread(commands.run, "backup", "create", tmp_path / "x", env=env, directory=tmp_path)
    assert (made.returncode, "nothing to back up" in made.stderr) == (1, True)
    assert not list(tmp_path.iterdir())
    subprocess.run([str(find_program("pg_dump")), "-Fc", f"--file={tmp_path / 'x'}", url], check=True)
    checked = await asyncio.to_thread(commands.run, "backup", "check", tmp_path / "x", env=env, directory=tmp_path)
    assert checked.returncode == 0, checked.stderr


def replaced_pg_dump(tmp_path: Path, script: str) -> dict[str, str]:
    """An environment in which the newest pg_dump is a script."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "pg_dump"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.0" && exit\n{script}\n')
    program.chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}"}


async def test_a_dump_that_lacks_rows_is_deleted(logins: Logins, commands: Commands, tmp_path: Path) -> None:
    real = find_program("pg_dump")
    env = env_of(logins, **replaced_pg_dump(tmp_path, f'exec {real} --exclude-table-data=templates "$@"'))
    target = tmp_path / "backups"
    target.mkdir()
    done = await asyncio.to_thread(commands.run, "backup", "create", target / "x", env=env, directory=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "The dump is not complete and was deleted: public.templates: 0 of " in done.stderr
    assert not list(target.iterdir())


async def test_an_interrupted_dump_leaves_nothing(logins: Logins, tmp_path: Path) -> None:
    env = env_of(logins, **replaced_pg_dump(tmp_path, "echo begun > ../begun; exec sleep 1000"))
    target = tmp_path / "backups"
    target.mkdir()
    process = await asyncio.create_subprocess_exec(PROGRAM, "backup", "create", "x", cwd=target, env=os.environ | env)
    async with asyncio.timeout(60):
        while not (tmp_path / "begun").exists():
            await asyncio.sleep(0.1)
        assert list(target.iterdir())
        process.terminate()
        assert await process.wait() == 1
    assert not list(target.iterdir())
