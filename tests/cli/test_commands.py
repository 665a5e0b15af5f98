"""The `vultus` command as a script sees it: exit codes, stdout, stderr."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from app.permissions import Permission
from tests.commands import PROGRAM, Commands

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture
def vultus(commands: Commands, data_dir: Path, database_url: str, synthetic_pack: Path, tmp_path: Path) -> Run:
    """Runs the command against the tests' database and pack."""

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        own = {
            "VULTUS_DATA_DIR": str(data_dir),
            "VULTUS_DATABASE_URL": database_url,
            "VULTUS_MODEL_PACK": str(synthetic_pack),
            "COLUMNS": "160",
        }
        return commands.run(*arguments, env={**own, **more}, directory=tmp_path)

    return run


@pytest.fixture
def alone(tmp_path: Path, synthetic_pack: Path) -> Run:
    """Starts the installed program on a fresh data directory with its own embedded PostgreSQL."""
    (tmp_path / "data" / "models").mkdir(parents=True)
    # Made once for the test session: copying spares each run the few seconds of fitting.
    subprocess.run(["cp", "-r", str(synthetic_pack), str(tmp_path / "data" / "models")], check=True)

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        own = {"VULTUS_DATA_DIR": "data", "VULTUS_MODEL_CACHE": str(tmp_path / "cache"), "COLUMNS": "160"}
        env = {**os.environ, **own, **more}
        command = [str(PROGRAM), *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_creating_a_tenant_prints_what_a_script_needs(vultus: Run) -> None:
    email = f"{uuid4().hex}@example.com"
    done = vultus("tenants", "create", "Acme", "--email", email.upper(), "--json")
    assert done.returncode == 0, done.stderr
    created = json.loads(done.stdout)
    assert created["email"] == email
    assert len(created["password"]) >= 20
    assert re.fullmatch(r"[0-9a-f-]{36}", created["tenant_id"])
    assert re.fullmatch(r"VK[A-Z0-9]{18}", created["access_key_id"])
    assert len(created["secret_access_key"]) == 40
    again = vultus("tenants", "create", "Acme", "--email", email)
    assert again.returncode == 1
    assert again.stderr.startswith("vultus: email_taken")
    assert again.stdout == ""


def test_the_operator_manages_tenants_plans_users_and_keys(vultus: Run) -> None:
    created = json.loads(vultus("tenants", "create", "Acme", "--email", f"{uuid4().hex}@example.com", "--json").stdout)
    tenant, plan = created["tenant_id"], f"plan-{uuid4().hex[:8]}"
    set_plan = vultus("plans", "set", plan, "--rate", "recognize=7/minute", "--quota", "users=3")
    assert set_plan.returncode == 0, set_plan.stderr
    assert vultus("tenants", "set-plan", tenant, plan).returncode == 0
    listed = {row["tenant_id"]: row for row in json.loads(vultus("tenants", "list", "--json").stdout)}
    assert listed[tenant]["plan"] == plan
    plans = {row["plan"]: json.loads(row["rates"]) for row in json.loads(vultus("plans", "list", "--json").stdout)}
    assert plans[plan] == {permission.value: "60/minute" for permission in Permission} | {"recognize": "7/minute"}
    email = f"{uuid4().hex}@example.com"
    user = json.loads(vultus("users", "add", email, "--tenant", tenant, "--role", "operator", "--json").stdout)
    assert (user["email"], user["role"]) == (email, "operator")
    assert len(json.loads(vultus("users", "list", "--tenant", tenant, "--json").stdout)) == 2
    key = json.loads(vultus("keys", "create", "scanner", "--tenant", tenant, "--scope", "recognize", "--json").stdout)
    assert key["key"].startswith("vk_")
    assert vultus("keys", "revoke", key["key_id"], "--tenant", tenant).returncode == 0
    again = vultus("keys", "revoke", key["key_id"], "--tenant", tenant)
    assert (again.returncode, again.stderr.split(":")[1].strip()) == (1, "key_not_found")
    for wrong in (("--rate", "fly=1/minute"), ("--rate", "recognize=often"), ("--quota", "users=many")):
        assert vultus("plans", "set", plan, *wrong).returncode == 2
    assert vultus("tenants", "set-plan", tenant, "no-such-plan").returncode == 1
    assert vultus("tenants", "delete", tenant, "--yes").returncode == 0
    assert vultus("tenants", "delete", tenant, "--yes").returncode == 1


@pytest.mark.parametrize("arguments", [("tenants", "create", "Acme", "--email", "no-address"), ("tenants", "create")])
def test_wrong_use_is_exit_code_2(vultus: Run, arguments: tuple[str, ...]) -> None:
    done = vultus(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""


def test_migrating_a_database_that_is_there_already(vultus: Run) -> None:
    done = vultus("migrate")
    assert done.returncode == 0, done.stderr
    assert "is at migration" in done.stdout


def test_a_database_that_is_not_there_is_one_line_on_stderr(alone: Run) -> None:
    failed = alone("migrate", VULTUS_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert failed.returncode == 1
    assert failed.stderr.startswith("vultus: The database could not be migrated")
    assert "hunter2" not in failed.stderr


def test_wrong_settings_are_named_and_not_quoted(vultus: Run) -> None:
    done = vultus("models", "show", VULTUS_ENVIRONMENT="production", VULTUS_SECRET_KEY="hunter2")
    assert done.returncode == 1
    assert "VULTUS_SECRET_KEY is shorter than 32 bytes" in done.stderr
    assert "hunter2" not in done.stderr
    done = vultus("models", "show", VULTUS_MIN_FACE_PIXELS="-3")
    assert "VULTUS_MIN_FACE_PIXELS" in done.stderr


def test_models_say_what_they_are(vultus: Run) -> None:
    shown = vultus("models", "show").stdout
    for part in ("synthetic", "license", "threshold", "rec_drawn:", "sha256", "knows only drawings"):
        assert part in shown
    listed = vultus("models", "list").stdout
    for name in ("buffalo_l", "buffalo_s", "buffalo_sc", "antelopev2", "synthetic"):
        assert name in listed
    assert "verified" in vultus("models", "verify").stdout


def test_the_demo_recognizes_everybody_and_shows_the_password_once(alone: Run, tmp_path: Path) -> None:
    first = alone("demo", VULTUS_MODEL_PACK="synthetic")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "7 of 7 people right" in first.stdout
    assert re.search(r"password\s+\S{20,}", first.stdout)
    assert (tmp_path / "data" / "demo" / "recognized.png").stat().st_size > 10_000
    second = alone("demo", VULTUS_MODEL_PACK="synthetic")
    assert second.returncode == 0, second.stdout + second.stderr
    assert not re.search(r"password\s+\S{20,}", second.stdout)


def test_the_demo_fails_when_somebody_is_not_recognized(alone: Run) -> None:
    done = alone("demo", VULTUS_MODEL_PACK="synthetic", VULTUS_MATCH_THRESHOLD="1")
    assert done.returncode == 1
    assert "1 of 7 people right" in done.stdout  # the stranger, who should not be recognized


def test_the_demo_falls_back_to_drawn_faces_and_says_so_but_serve_never_does(alone: Run) -> None:
    demo = alone("demo", VULTUS_MODEL_PACK="buffalo_l", **NO_NETWORK)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "IT KNOWS ONLY DRAWN FACES" in demo.stdout
    serve = alone("serve", VULTUS_MODEL_PACK="buffalo_l", **NO_NETWORK)
    assert serve.returncode == 1
    assert "Choose one" in serve.stderr
    assert "Traceback" not in serve.stderr


def test_the_demo_takes_photos_of_ones_own_only_if_there_are_enough(alone: Run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "somebody").mkdir(parents=True)
    done = alone("demo", "--photos", "absent")
    assert done.returncode == 2
