"""Tenants by name, forgotten passwords, plans, and output for scripts."""

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest

from app.permissions import Permission, Quota
from app.settings import Settings
from tests.api.conftest import PASSWORD, Running, problem, sign_in, start
from tests.commands import Commands

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def vultus(commands: Commands, data_dir: Path, database_url: str, settings: Settings, tmp_path: Path) -> Run:
    """Runs the command on the database and with the secret of the tests' app."""
    assert settings.secret_key is not None
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": database_url,
        "VULTUS_MODEL_PACK": settings.model_pack,
        "VULTUS_SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    return lambda *arguments: commands.run(*arguments, env=env, directory=tmp_path)


@pytest.fixture(scope="module")
async def running(settings: Settings) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        yield await start(settings, stack)


def create(vultus: Run, name: str, *options: str) -> dict[str, str]:
    done = vultus("tenants", "create", name, "--email", f"{uuid4().hex}@example.com", "--json", *options)
    assert done.returncode == 0, done.stderr
    created: dict[str, str] = json.loads(done.stdout)
    return created


def test_a_tenant_is_found_by_its_name_or_its_id(vultus: Run) -> None:
    name = f"Acme {uuid4().hex}"
    created = create(vultus, name)
    for reference in (name, created["tenant_id"]):
        shown = json.loads(vultus("tenants", "show", reference, "--json").stdout)
        assert (shown["tenant_id"], shown["name"]) == (created["tenant_id"], name)
        assert created["email"] in vultus("users", "list", "--tenant", reference).stdout
        for command in (("usage",), ("audit", "verify"), ("templates", "rotate"), ("models", "coverage")):
            assert vultus(*command, "--tenant", reference).returncode == 0
        assert vultus("keys", "create", "k", "--tenant", reference, "--scope", "recognize").returncode == 0
        assert vultus("tenants", "set-plan", reference, "pro").returncode == 0
    assert vultus("tenants", "delete", name, "--yes").returncode == 0
    for arguments in (["tenants", "show", name], ["tenants", "delete", name, "--yes"], ["usage", "--tenant", name]):
        done = vultus(*arguments)
        assert done.returncode == 1
        assert done.stderr == f"vultus: tenant_not_found: No tenant has the id or name '{name}'.\n"


def test_a_name_of_several_tenants_deletes_none_of_them(vultus: Run) -> None:
    name = f"Twins {uuid4().hex}"
    ids = [create(vultus, name)["tenant_id"] for _ in range(2)]
    done = vultus("tenants", "delete", name, "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert all(one in done.stderr for one in ids)
    assert done.stderr.count("\n") == 1
    assert vultus("tenants", "delete", ids[0], "--yes").returncode == 0
    assert vultus("tenants", "delete", name, "--yes").returncode == 0


def test_deleting_asks_first(vultus: Run) -> None:
    name = f"Acme {uuid4().hex}"
    create(vultus, name)
    asked = vultus("tenants", "delete", name)  # stdin is empty
    assert asked.returncode == 1
    assert name in asked.stdout
    assert vultus("tenants", "show", name).returncode == 0


def test_own_tenants_are_unlimited_and_every_rate_is_shown(vultus: Run) -> None:
    own, small = f"Own {uuid4().hex}", f"Small {uuid4().hex}"
    create(vultus, own)
    shown = json.loads(vultus("tenants", "show", own, "--json").stdout)
    assert shown["plan"] == "unlimited"
    assert {shown[f"{permission} rate"] for permission in Permission} == {"unlimited"}
    assert {shown[quota].partition(" of ")[2] for quota in Quota} == {"unlimited"}
    plan = f"plan-{uuid4().hex[:8]}"
    assert vultus("plans", "set", plan, "--rate", "read=unlimited", "--quota", "users=3").returncode == 0
    create(vultus, small, "--plan", plan)
    shown = json.loads(vultus("tenants", "show", small, "--json").stdout)
    assert (shown["read rate"], shown["register rate"], shown["users"]) == ("unlimited", "60/minute", "1 of 3")
    plans = {row["plan"]: row for row in json.loads(vultus("plans", "list", "--json").stdout)}
    assert json.loads(plans[plan]["rates"]).keys() == set(Permission)
    assert json.loads(plans[plan]["quotas"]) == {quota.value: None for quota in Quota} | {"users": 3}
    assert vultus("plans", "set", plan, "--rate", "read=limitless").returncode == 2


async def test_a_forgotten_password_is_replaced_and_its_sessions_end(vultus: Run, running: Running) -> None:
    created = create(vultus, "Acme")
    email = created["email"]
    async with running.client() as anonymous:
        tokens = await sign_in(anonymous, email, created["password"])
        done = vultus("users", "reset", email.upper(), "--json")
        assert done.returncode == 0, done.stderr
        reset = json.loads(done.stdout)
        assert (reset["email"], reset["tenant_id"]) == (email, created["tenant_id"])
        form = {"username": email, "password": created["password"]}
        assert problem(await anonymous.post("/auth/token", data=form)) == "401 invalid_credentials"
        answer = await anonymous.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert problem(answer) == "401 token_revoked"
        await sign_in(anonymous, email, reset["password"])
    async with running.client(tokens["access_token"]) as client:
        assert problem(await client.get("/auth/me")) == "401 token_revoked"


async def test_a_reset_ends_the_delay_of_the_account(vultus: Run, running: Running) -> None:
    email = create(vultus, "Acme")["email"]
    codes = set[int]()
    for number in range(60):
        async with running.client() as guesser:
            guesser._transport.client = (f"198.51.100.{number}", 1)  # type: ignore[attr-defined]
            answer = await guesser.post("/auth/token", data={"username": email, "password": "a guess"})
            codes.add(answer.status_code)
    assert 429 in codes
    password = vultus("users", "reset", email, "--quiet").stdout.split()[-1]
    async with running.client() as client:
        await sign_in(client, email, password)


def test_a_reset_names_what_is_wrong(vultus: Run) -> None:
    done = vultus("users", "reset", "nobody@example.com")
    assert (done.returncode, done.stderr) == (
        1,
        "vultus: user_not_found: No user has the email 'nobody@example.com'.\n",
    )
    assert vultus("users", "reset", "no-address").returncode == 2
    assert vultus("users", "reset", "nobody@example.com", "--prompt").returncode == 1  # stdin is empty


def test_quiet_output_is_bare_values(vultus: Run) -> None:
    name = f"Acme {uuid4().hex}"
    created = create(vultus, name)
    rows = [line.split("\t") for line in vultus("tenants", "list", "--quiet").stdout.splitlines()]
    (row,) = [row for row in rows if row[0] == created["tenant_id"]]
    assert row[1:4] == [name, "unlimited", "0"]
    (user,) = vultus("users", "list", "--tenant", name, "-q").stdout.splitlines()
    assert user.split("\t")[1:] == [created["email"], "admin"]
    assert vultus("usage", "--tenant", name, "--quiet").stdout == ""
    key = vultus("keys", "create", "scanner", "--tenant", name, "--scope", "recognize", "--quiet").stdout.splitlines()
    assert [len(key), key[1]] == [3, "scanner"]


@pytest.mark.parametrize(
    "command", ["tenants list", "plans list", "models list", "models show", "index status", "usage", "audit verify"]
)
def test_whatever_prints_a_table_prints_json_and_bare_values(command: str, vultus: Run) -> None:
    created = create(vultus, "Acme")
    # Other tests' tenants have trails that are sealed with other secrets.
    arguments = [*command.split(), *(("--tenant", created["tenant_id"]) if command == "audit verify" else ())]
    values = vultus(*arguments, "--quiet")
    assert values.returncode == 0, values.stderr
    assert "─" not in values.stdout + values.stderr
    assert json.loads(vultus(*arguments, "--json").stdout) is not None
    if command in ("tenants list", "audit verify"):
        assert created["tenant_id"] in values.stdout


async def test_an_unlimited_tenant_is_never_refused_and_a_limited_one_is_told_its_plan(
    vultus: Run, running: Running
) -> None:
    name, plan = f"Acme {uuid4().hex}", f"plan-{uuid4().hex[:8]}"
    created = create(vultus, name)
    async with running.client() as anonymous:
        tokens = await sign_in(anonymous, created["email"], created["password"])
    async with running.client(tokens["access_token"]) as client:
        answers = [await client.get("/collections") for _ in range(70)]
        assert {answer.status_code for answer in answers} == {200}
        assert not any("ratelimit" in answer.headers for answer in answers)
        assert (await client.get("/tenant")).json()["rates"] == dict.fromkeys(Permission, "unlimited")
        vultus("plans", "set", plan, "--rate", "register=7/minute")
        vultus("tenants", "set-plan", name, plan)
        tenant = (await client.get("/tenant")).json()
        assert tenant["rates"] == {permission.value: "60/minute" for permission in Permission} | {
            "register": "7/minute"
        }
        refused = next(one for one in [await client.get("/collections") for _ in range(70)] if one.status_code == 429)
        assert problem(refused) == "429 rate_limited"
        detail = refused.json()["detail"]
        assert detail.startswith(f"The plan '{plan}' allows 60 requests of 'read' in 60 seconds; try again in ")
        assert "`vultus tenants set-plan`" in detail


async def test_signing_up_oneself_gives_the_plan_free(running: Running) -> None:
    email = f"{uuid4().hex}@example.com"
    async with running.client() as anonymous:
        await anonymous.post("/auth/signup", json={"tenant": "Acme", "email": email, "password": PASSWORD})
        tokens = await sign_in(anonymous, email)
    async with running.client(tokens["access_token"]) as client:
        assert (await client.get("/tenant")).json()["plan"] == "free"


def test_keys_are_listed_without_their_secrets_until_they_are_revoked(vultus: Run) -> None:
    tenant = create(vultus, "Acme")["tenant_id"]
    scopes = ("--scope", "recognize", "--scope", "register")
    issued = json.loads(vultus("keys", "create", "site", "--tenant", tenant, *scopes, "--json").stdout)
    done = vultus("keys", "list", "--tenant", tenant, "--json")
    (row,) = json.loads(done.stdout)
    assert (row["key_id"], row["name"], row["scopes"]) == (issued["key_id"], "site", "recognize register")
    assert (row["collections"], row["last_used_at"], row["expires_at"]) == ("all", "never", "never")
    assert issued["key"] not in done.stdout
    assert vultus("keys", "list", "--tenant", tenant, "--quiet").stdout.startswith(f"{issued['key_id']}\tsite\t")
    assert vultus("keys", "revoke", issued["key_id"], "--tenant", tenant).returncode == 0
    assert json.loads(vultus("keys", "list", "--tenant", tenant, "--json").stdout) == []


def test_a_user_is_removed_but_not_the_last_admin(vultus: Run) -> None:
    created = create(vultus, "Acme")
    tenant, admin, email = created["tenant_id"], created["email"], f"{uuid4().hex}@example.com"
    assert vultus("users", "add", email, "--tenant", tenant).returncode == 0
    asked = vultus("users", "remove", email, "--tenant", tenant)  # stdin is empty
    assert asked.returncode == 1
    assert vultus("users", "remove", email.upper(), "--tenant", tenant, "--yes").returncode == 0
    assert email not in vultus("users", "list", "--tenant", tenant).stdout
    done = vultus("users", "remove", email, "--tenant", tenant, "--yes")
    assert (done.returncode, done.stderr) == (1, f"vultus: user_not_found: The tenant has no user '{email}'.\n")
    refused = vultus("users", "remove", admin, "--tenant", tenant, "--yes")
    assert refused.returncode == 1
    assert refused.stderr.startswith("vultus: last_admin:")


def test_the_version_is_printed(vultus: Run) -> None:
    done = vultus("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"vultus {version('vultus')} (Python 3.")


def test_results_of_other_commands_are_for_scripts_too(vultus: Run) -> None:
    assert json.loads(vultus("retention", "sweep", "--json").stdout).keys() == {"erased_subjects"}
    assert vultus("retention", "sweep", "--quiet").stdout.strip().isdecimal()
    assert json.loads(vultus("models", "verify", "--json").stdout)["name"] == "synthetic"
