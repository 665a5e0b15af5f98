"""From nothing to a checked installation: `vultus init`, its SQL in a new PostgreSQL, `migrate`, `doctor`."""

import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.cli.settings_reference import group_settings
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.inspection import DatabaseFacts
from app.persistence.provisioning.migrations import head_revision
from app.persistence.provisioning.postgres_programs import find_program
from app.services.maintenance.diagnosis import Status, judge_backup, judge_database, judge_open_files
from tests.commands import Commands

Doctor = Callable[..., "subprocess.CompletedProcess[str]"]


def read_env(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def init(commands: Commands, directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return commands.run("init", *options, env={}, directory=directory)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of its own: roles belong to a server, and the script creates them."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("installation"), settings={"fsync": "off"})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def installed(
    server: EmbeddedPostgres, commands: Commands, tmp_path_factory: pytest.TempPathFactory, synthetic_pack: Path
) -> tuple[Mapping[str, str], str]:
    """The environment of an installation that `init`, psql and `migrate` made, and a superuser's address."""
    directory = tmp_path_factory.mktemp("init")
    data = directory / "data"
    data.mkdir()
    done = init(commands, directory, "--data-dir", str(data), "--pack", str(synthetic_pack))
    assert done.returncode == 0, done.stderr
    superuser = server.start()
    psql = [str(find_program("psql")), "--no-psqlrc", f"--dbname={superuser}", f"--file={directory / 'roles.sql'}"]
    made = subprocess.run(psql, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    env = read_env(directory / ".env")
    for name in ("VULTUS_DATABASE_URL", "VULTUS_DATABASE_ADMIN_URL"):
        login = make_url(env[name])
        own = make_url(superuser).set(username=login.username, database=login.database)
        env[name] = own.render_as_string(hide_password=False)
    migrated = commands.run("migrate", "--json", env=env, directory=directory)
    assert migrated.returncode == 0, migrated.stderr
    assert json.loads(migrated.stdout) == {"migration": head_revision()}
    return env, make_url(superuser).set(database="vultus").render_as_string(hide_password=False)


def findings(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, str]]:
    assert done.stdout, done.stderr
    return {row["check"]: row for row in json.loads(done.stdout)}


def test_the_file_holds_only_settings_and_new_secrets(commands: Commands, tmp_path: Path) -> None:
    done = init(commands, tmp_path)
    assert done.returncode == 0, done.stderr
    env = read_env(tmp_path / ".env")
    known = {setting.variable for _, group in group_settings() for setting in group}
    assert set(env) <= known
    assert env["VULTUS_ENVIRONMENT"] == "production"
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "roles.sql").stat().st_mode) == 0o600
    script = (tmp_path / "roles.sql").read_text()
    for name in ("VULTUS_DATABASE_URL", "VULTUS_DATABASE_ADMIN_URL"):
        password = make_url(env[name]).password
        assert password
        assert password not in script
    assert env["VULTUS_SECRET_KEY"] not in done.stdout
    assert "vultus doctor" in done.stdout
    other = tmp_path / "other"
    other.mkdir()
    init(commands, other)
    again = read_env(other / ".env")
    secrets = [name for name in env if name.endswith(("_KEY", "_TOKEN", "_URL"))]
    assert len(secrets) == 4
    assert not [name for name in secrets if env[name] == again[name]]


def test_it_never_overwrites_a_file(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "roles.sql").write_text("mine")
    done = init(commands, tmp_path)
    assert done.returncode == 1
    assert "roles.sql exists already" in done.stderr
    assert (tmp_path / "roles.sql").read_text() == "mine"
    assert not (tmp_path / ".env").exists()


def test_a_wrong_host_is_refused(commands: Commands, tmp_path: Path) -> None:
    done = init(commands, tmp_path, "--database-host", "a b@c")
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


def test_an_installation_by_the_book_passes_every_check(
    commands: Commands, installed: tuple[Mapping[str, str], str], tmp_path: Path
) -> None:
    env, _ = installed
    done = commands.run("doctor", "--json", env=env, directory=tmp_path)
    found = findings(done)
    # The pack of the tests recognizes only drawn faces, and there is no backup yet.
    faults = {check: row for check, row in found.items() if row["status"] != "ok"}
    assert set(faults) == {"model pack synthetic", "backup"}, faults
    assert all(row["remedy"] for row in faults.values())
    assert not any(row["remedy"] for check, row in found.items() if check not in faults)
    assert done.returncode == 1
    for check in ("pgvector", "migrations", "service login", "row-level security", "isolation", "clock", "photo store"):
        assert found[check]["status"] == "ok"
    printed = commands.run("doctor", env=env, directory=tmp_path)
    assert "FAILED   model pack synthetic" in printed.stdout
    secrets = [env[name] for name in ("VULTUS_SECRET_KEY", "VULTUS_METRICS_TOKEN")]
    assert not [secret for secret in secrets if secret in printed.stdout + done.stdout]


def test_a_backup_is_noted_for_doctor(
    commands: Commands, installed: tuple[Mapping[str, str], str], tmp_path: Path
) -> None:
    env, _ = installed
    created = commands.run("tenants", "create", "Acme", "--email", "ada@example.com", env=env, directory=tmp_path)
    assert created.returncode == 0, created.stderr
    made = commands.run("backup", "create", tmp_path / "vultus.dump", env=env, directory=tmp_path)
    assert made.returncode == 0, made.stderr
    found = findings(commands.run("doctor", "--json", env=env, directory=tmp_path))
    assert found["backup"]["status"] == "ok"
    assert found["backup"]["found"] == "made 0 days and 0 hours ago"


def test_row_security_that_is_off_is_found(
    commands: Commands, installed: tuple[Mapping[str, str], str], tmp_path: Path
) -> None:
    env, superuser = installed
    psql = [str(find_program("psql")), "--no-psqlrc", f"--dbname={superuser}"]
    subprocess.run([*psql, "-c", "ALTER TABLE subjects NO FORCE ROW LEVEL SECURITY"], check=True, capture_output=True)
    try:
        found = findings(commands.run("doctor", "--json", env=env, directory=tmp_path))
        assert found["row-level security"]["status"] == "failed"
        assert "subjects" in found["row-level security"]["found"]
    finally:
        subprocess.run([*psql, "-c", "ALTER TABLE subjects FORCE ROW LEVEL SECURITY"], check=True, capture_output=True)


def test_the_owners_login_is_no_login_for_the_service(
    commands: Commands, installed: tuple[Mapping[str, str], str], tmp_path: Path
) -> None:
    env, _ = installed
    wrong = {**env, "VULTUS_DATABASE_URL": env["VULTUS_DATABASE_ADMIN_URL"]}
    found = findings(commands.run("doctor", "--json", env=wrong, directory=tmp_path))
    assert found["service login"]["status"] == "failed"
    assert "owns tables" in found["service login"]["found"]


def test_what_is_missing_is_named_with_its_remedy(
    commands: Commands, installed: tuple[Mapping[str, str], str], tmp_path: Path
) -> None:
    env, _ = installed
    wrong = {
        **env,
        "VULTUS_DATABASE_URL": "postgresql://vultus:secret-word@127.0.0.1:9/vultus",
        "VULTUS_MODEL_PACK": "buffalo_l",
        "VULTUS_MODEL_CACHE": str(tmp_path),
        "VULTUS_PHOTO_STORE": "s3://missing/photos",
        "VULTUS_PHOTO_STORE_ENDPOINT": "http://127.0.0.1:9",
        "VULTUS_PHOTO_STORE_ACCESS_KEY_ID": "a",
        "VULTUS_PHOTO_STORE_SECRET_ACCESS_KEY": "b",
        "VULTUS_REDIS_URL": "redis://127.0.0.1:9/0",
    }
    done = commands.run("doctor", "--json", env=wrong, directory=tmp_path)
    found = findings(done)
    for check in ("database", "model pack buffalo_l", "photo store", "rate counters"):
        assert found[check]["status"] == "failed", check
        assert found[check]["remedy"]
    assert "secret-word" not in done.stdout
    assert done.returncode == 1


def test_a_wrong_setting_is_the_only_finding(commands: Commands, tmp_path: Path) -> None:
    done = commands.run("doctor", "--json", env={"VULTUS_SECRT_KEY": "x" * 40}, directory=tmp_path)
    (row,) = json.loads(done.stdout)
    assert (row["check"], row["status"]) == ("settings", "failed")
    assert "VULTUS_SECRET_KEY" in row["found"]
    assert done.returncode == 1


def facts(**changed: object) -> DatabaseFacts:
    values: dict[str, object] = {
        "login": "vultus",
        "server_version": 180_004,
        "vector_version": "0.8.5",
        "revision": "0001",
        "bypasses_row_security": False,
        "owns_tables": False,
        "is_service": True,
        "unprotected_tables": (),
        "visible_without_tenant": 0,
        "clock_offset_s": 0.1,
        "max_connections": 100,
    }
    return DatabaseFacts(**{**values, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "check", "status"),
    [
        ({}, None, Status.OK),
        ({"server_version": 130_010}, "postgresql", Status.FAILED),
        ({"vector_version": None}, "pgvector", Status.FAILED),
        ({"vector_version": "0.7.4"}, "pgvector", Status.FAILED),
        ({"revision": "0000"}, "migrations", Status.FAILED),
        ({"revision": None, "visible_without_tenant": None}, "migrations", Status.FAILED),
        ({"bypasses_row_security": True}, "service login", Status.FAILED),
        ({"is_service": False}, "service login", Status.FAILED),
        ({"visible_without_tenant": 1}, "isolation", Status.FAILED),
        ({"clock_offset_s": -3.0}, "clock", Status.WARNING),
        ({"clock_offset_s": 90.0}, "clock", Status.FAILED),
    ],
)
def test_each_fact_is_judged_alone(changed: dict[str, object], check: str | None, status: Status) -> None:
    found = {one.check: one for one in judge_database(facts(**changed), "0001", must_be_confined=True)}
    assert {one.check for one in found.values() if one.status is not Status.OK} == ({check} if check else set())
    if check:
        assert found[check].status is status
        assert found[check].remedy


def test_an_old_backup_and_few_open_files_are_warnings() -> None:
    now = datetime.now(UTC)
    assert judge_backup(now - timedelta(hours=3)).status is Status.OK
    assert judge_backup(now - timedelta(days=3)).status is Status.WARNING
    assert judge_backup(None).status is Status.WARNING
    assert judge_open_files(1024).status is Status.WARNING
    assert judge_open_files(65_536).status is Status.OK


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_found(commands: Commands, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = commands.run("doctor", "--json", env={"VULTUS_DATA_DIR": str(locked)}, directory=tmp_path)
    assert findings(done)["data directory"]["status"] == "failed"
