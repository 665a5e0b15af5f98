"""What keeps a command from starting is said in one line, before anything else is done."""

import json
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from app.errors import DatabaseUnavailable
from app.persistence.connections.database import Database
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.logins import check_operator_login, check_service_login
from app.settings import Settings
from tests.api.conftest import start
from tests.commands import Commands

LOGIN = "login_with_a_password"


@pytest.fixture
async def wrong_password(postgres: EmbeddedPostgres, database_url: str, data_dir: Path) -> str:
    """The address of a login that needs a password, with another one."""
    connection = await asyncpg.connect(database_url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", LOGIN):
            await connection.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD 'the right one'")
            rules = data_dir / "postgres" / "pg_hba.conf"
            rules.write_text(f"local all {LOGIN} scram-sha-256\n" + rules.read_text())
            await connection.fetchval("SELECT pg_reload_conf()")
    finally:
        await connection.close()
    return login_at(database_url, f"{LOGIN}:hunter2")


def login_at(url: str, login: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{login}@{rest.partition('@')[2]}"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize("command", ["serve", "migrate", "tenants list", "index status", "demo", "demo --serve"])
async def test_a_wrong_database_password_is_one_line(
    command: str, wrong_password: str, commands: Commands, tmp_path: Path
) -> None:
    env = {"VULTUS_DATABASE_URL": wrong_password, "VULTUS_DATA_DIR": "data", "VULTUS_MODEL_PACK": "synthetic"}
    done = commands.run(*command.split(), env=env, directory=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("vultus: VULTUS_DATABASE_URL: PostgreSQL at ")
    assert f'password authentication failed for user "{LOGIN}"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr + done.stdout
    if command not in ("demo", "tenants list"):
        assert done.stdout == ""
        assert list(tmp_path.iterdir()) == []


async def test_the_operators_login_is_named_if_it_is_the_wrong_one(
    wrong_password: str, service_url: str, commands: Commands, tmp_path: Path
) -> None:
    env = {"VULTUS_DATABASE_URL": service_url, "VULTUS_DATABASE_ADMIN_URL": wrong_password}
    for command in ("serve", "migrate", "tenants list"):
        done = commands.run(*command.split(), env=env, directory=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("vultus: VULTUS_DATABASE_ADMIN_URL: PostgreSQL at ")


def test_an_unknown_database_and_one_that_does_not_answer_are_one_line(
    database_url: str, commands: Commands, tmp_path: Path
) -> None:
    missing = database_url.replace("/vultus_test", "/no_such_database")
    done = commands.run("tenants", "list", env={"VULTUS_DATABASE_URL": missing}, directory=tmp_path)
    assert 'database "no_such_database" does not exist' in done.stderr
    silent = "postgresql://u:hunter2@127.0.0.1:1/x"
    absent = commands.run("tenants", "list", env={"VULTUS_DATABASE_URL": silent}, directory=tmp_path)
    assert absent.stderr.startswith("vultus: VULTUS_DATABASE_URL: PostgreSQL at 127.0.0.1:1 does not respond")
    for one in (done, absent):
        assert (one.returncode, one.stderr.count("\n"), one.stdout) == (1, 1, "")
        assert "hunter2" not in one.stderr


async def test_a_server_may_start_before_its_database(database_url: str) -> None:
    silent = Settings.model_validate({"database_url": "postgresql://u:hunter2@127.0.0.1:1/x"})
    for check in (check_service_login, check_operator_login):
        problem = await check(silent)
        assert problem is not None
        assert "does not respond" in problem
        assert await check(Settings.model_validate({"database_url": database_url})) is None
        assert await check(Settings()) is None


async def test_a_login_that_is_refused_later_makes_the_service_unavailable(wrong_password: str) -> None:
    database = Database(wrong_password, pool_size=1)
    with pytest.raises(DatabaseUnavailable):
        await database.revision()
    with pytest.raises(DatabaseUnavailable):
        await database.fetch_row("SELECT 1")
    await database.close()


async def test_a_server_whose_login_is_refused_is_not_ready_and_logs_why(
    wrong_password: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody changed the password while the server was running."""
    async with AsyncExitStack() as stack:
        own = settings.model_copy(update={"database_url": SecretStr(wrong_password)})
        running = await start(own, stack)
        async with running.client() as client:
            answer = await client.get("http://vultus/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    lines = capsys.readouterr().err
    said = [json.loads(line) for line in lines.splitlines() if "database_refuses_login" in line]
    assert said[0]["reason"] == f'password authentication failed for user "{LOGIN}"'
    assert "hunter2" not in lines


def test_an_empty_database_is_not_created_unannounced(commands: Commands, tmp_path: Path) -> None:
    """In another folder than usual, the tenants seem to be gone."""
    directory = tmp_path.resolve() / "data" / "postgres"
    first, second = (commands.run("tenants", "list", env={}, directory=tmp_path) for _ in range(2))
    created = f"vultus: creating an empty database in {directory}; VULTUS_DATA_DIR names another directory.\n"
    assert (first.returncode, first.stdout, first.stderr) == (0, "", f"{created}No rows.\n")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "No rows.\n")
    as_json = commands.run("tenants", "list", "--json", env={}, directory=tmp_path)
    assert (as_json.stdout, as_json.stderr) == ("[]\n", "")


@pytest.mark.parametrize("command", ["serve", "demo --serve"])
def test_a_port_in_use_is_one_line_before_anything_is_done(
    command: str, taken_port: int, commands: Commands, tmp_path: Path
) -> None:
    env = {"VULTUS_DATA_DIR": "data", "VULTUS_MODEL_PACK": "synthetic"}
    done = commands.run(*command.split(), "--port", str(taken_port), env=env, directory=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"vultus: Port {taken_port} on 127.0.0.1 is in use; choose another: `--port ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_host_is_one_line(commands: Commands, tmp_path: Path) -> None:
    done = commands.run("serve", "--host", "192.0.2.1", env={}, directory=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("vultus: Cannot listen on 192.0.2.1, port 8000: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("tenants create", "Missing argument 'name'."),
        ("tenants create Acme --email none", "--email: must be an address such as ada@example.com"),
        ("nonsense", "No such command 'nonsense'."),
        ("serve --port 99999", "Invalid value for '--port'"),
        ("serve --colour blue", "No such option: --colour"),
    ],
)
def test_wrong_use_is_one_line_that_names_the_help(
    arguments: str, said: str, commands: Commands, tmp_path: Path
) -> None:
    done = commands.run(*arguments.split(), env={}, directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vultus: ")
    assert said in done.stderr
    assert done.stderr.endswith("--help`.\n")
    assert done.stderr.count("\n") == 1


def test_a_misspelled_setting_is_one_line_before_anything_is_done(commands: Commands, tmp_path: Path) -> None:
    for command in ("serve", "demo", "migrate", "tenants list", "models list"):
        env = {"VULTUS_SIGNUP_ENABLD": "false", "VULTUS_DATA_DIR": "data"}
        done = commands.run(*command.split(), env=env, directory=tmp_path)
        said = "vultus: VULTUS_SIGNUP_ENABLD is not a setting; did you mean VULTUS_SIGNUP_ENABLED?\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
        assert list(tmp_path.iterdir()) == []


def test_the_shell_completes_commands(commands: Commands, tmp_path: Path) -> None:
    env = {"_VULTUS_COMPLETE": "complete_bash", "COMP_WORDS": "vultus tenants ", "COMP_CWORD": "2"}
    done = commands.run(env=env, directory=tmp_path)
    assert "set-plan" in done.stdout.split()
