"""The documents state what is there: paths, settings, commands, error codes, permissions and routes."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from app import errors
from app.cli import cli
from app.domain.events import EventType
from app.main import create_app
from app.permissions import DEFAULT_RATE, ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Plan, Quota, Role, Scope
from app.rekognition.operations import OPERATIONS
from app.routes import API
from app.routes.coverage import AUTHENTICATED_ROUTES, PUBLIC_ROUTES, route_dependencies
from app.settings import Settings
from docs.generate import PAGES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
WRITTEN = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
DOCUMENTS = [*WRITTEN, ROOT / "PERFORMANCE.md", ROOT / "CHANGELOG.md"]

NEVER = (
    "MOST_",
    "LEAST_",
    "recogniser",
    "to be had",
    "told_",
    "going_on",
    "nobody known",
    "by whoever",
    "of before",
    "whose time is over",
    "was asked for",
)
"""Phrases of a private English that nobody outside the project reads without stumbling."""

_TOP = r"(?:app|tests|docs|benchmarks|migrations|deploy|\.ci|\.github)"
_SOURCE_PATH = re.compile(rf"{_TOP}/[\w./*-]*|[\w./-]+\.py|[A-Z]+\.md|Makefile|LICENSE|pyproject\.toml|\.env\.example")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    """The prose, without fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def section(document: str, heading: str) -> str:
    """The text of a reference document below a heading, up to the next one."""
    text = (DOCS / "reference" / document).read_text()
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without header and rule."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if not set(line[0]) <= {"-", "|"}]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- paths and links ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_path_in_backticks_exists(document: Path) -> None:
    quoted = re.findall(r"`([^`\n]+)`", without_code(document.read_text()))
    paths = {path for path in quoted if _SOURCE_PATH.fullmatch(path)}
    missing = {path for path in paths if not any(ROOT.glob(path.rstrip("/")))}
    modules = re.findall(r"python -m (benchmarks\.\w+)", document.read_text())
    missing |= {module for module in modules if not (ROOT / f"{module.replace('.', '/')}.py").exists()}
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    broken = []
    for target in (inline or defined for inline, defined in _LINK.findall(text)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    assert not broken


def anchors_of(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", without_code(file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_that_the_code_names_exists() -> None:
    places = [ROOT / "Makefile", ROOT / ".env.example", ROOT / "pyproject.toml"]
    for directory in ("app", "benchmarks", "migrations", "tests"):
        places += (ROOT / directory).rglob("*.py")
    mentioned = re.compile(r"\bdocs/(?:tutorial|how-to|reference|explanation|decisions|[\w-]+\.md)[\w./-]*")
    missing = {
        (name(place), path)
        for place in places
        for path in mentioned.findall(place.read_text())
        # A decision may be named by its number alone.
        if not any(ROOT.glob(f"{path.rstrip('.')}*"))
    }
    assert not missing


def test_the_index_lists_every_document() -> None:
    text = (DOCS / "README.md").read_text()
    listed = {(DOCS / (inline or defined)).resolve() for inline, defined in _LINK.findall(text)}
    found = {file for file in DOCS.rglob("*.md") if file.parent != DOCS / "decisions"} - {DOCS / "README.md"}
    assert not found - listed


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_a_decision_states_its_number_status_and_date(decision: Path) -> None:
    number, text = decision.name[:4], decision.read_text()
    assert text.startswith(f"# {number} ")
    assert re.search(r"^Date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    status = re.search(r"^Status: (?:accepted|superseded by (\d{4}))\b", text, re.MULTILINE)
    assert status
    assert status[1] is None or list(DECISIONS[0].parent.glob(f"{status[1]}-*.md"))
    for heading in ("## Context", "## Decision", "## Consequences"):
        assert heading in text


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phrase", NEVER)
def test_no_text_uses_a_phrase_of_a_private_english(phrase: str) -> None:
    texts = [ROOT / "README.md", ROOT / "PERFORMANCE.md", *(ROOT / "app").rglob("*.py"), *DOCS.rglob("*.md")]
    found = [
        f"{name(text)}:{number}: {line.strip()}"
        for text in texts
        for number, line in enumerate(text.read_text().splitlines(), 1)
        if phrase in line
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("document", [*WRITTEN, ROOT / "CHANGELOG.md"], ids=name)
def test_lines_stay_short(document: Path) -> None:
    assert not [line for line in document.read_text().splitlines() if len(line) >= 120]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_make_targets_of_the_documents_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"(?:`|^)make(?: [A-Z]+=\S+)* ([a-z-]+)", document.read_text(), re.MULTILINE):
            known = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
            assert known.returncode == 0, f"{name(document)}: make {target}: {known.stderr}"


# --- reference ----------------------------------------------------------------------------------------------------


def test_every_setting_is_in_the_reference_and_no_other_is_named() -> None:
    settings = {f"VULTUS_{field.upper()}" for field in Settings.model_fields}
    reference = DOCS / "reference" / "settings.md"
    described = set(re.findall(r"VULTUS_[A-Z0-9_]+\b", reference.read_text())) if reference.exists() else set()
    assert not settings - described
    others = {"VULTUS_API_KEY"}  # read by `vultus eval`
    for document in [*WRITTEN, ROOT / "PERFORMANCE.md"]:
        named = {one for one in re.findall(r"VULTUS_[A-Z0-9_]+\b", document.read_text()) if not one.endswith("_")}
        assert not named - settings - others, name(document)


def leaves(command: Any, path: str = "vultus") -> Iterator[tuple[str, Any]]:
    """Every command below a Typer app with its words; groups have `commands`."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for part, one in inner.items():
        yield from leaves(one, f"{path} {part}")


def options_of(command: Any) -> set[str]:
    options = {one for parameter in command.params for one in (*parameter.opts, *parameter.secondary_opts)}
    return {one for one in options if one.startswith("--")}


COMMANDS = dict(leaves(typer.main.get_command(cli)))


def test_every_command_has_a_heading_in_the_reference_and_no_other_has() -> None:
    text = (DOCS / "reference" / "commands.md").read_text()
    headings = re.findall(r"^### `(vultus[a-z -]*[a-z])", text, re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_of_a_command_is_in_the_reference(path: str) -> None:
    text = (DOCS / "reference" / "commands.md").read_text()
    found = re.search(rf"^### `{path}[ `](.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found
    described = set(re.findall(r"`(--[a-z-]+)`", found[1]))
    options = options_of(COMMANDS[path]) - {"--help"}
    if path.startswith("vultus eval ") and "Takes every shared option" in found[1]:
        shared = text.split("## Accuracy")[1].split("### ")[0]
        described |= set(re.findall(r"`(--[a-z-]+)`", shared))
        described -= set(re.findall(r"but `(--[a-z-]+)`", found[1]))
    assert described == options


def test_commands_in_shell_blocks_exist_with_their_options() -> None:
    for document in WRITTEN:
        for block in _SHELL.findall(document.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if not re.match(r"\s*(?:\w+=\S+ )?vultus ", line):
                    continue
                called = shlex.split(line, comments=True)
                arguments = called[called.index("vultus") + 1 :]
                path = "vultus"
                while path not in COMMANDS:
                    assert arguments, f"{name(document)}: {line}"
                    path = f"{path} {arguments.pop(0)}"
                used = {one.partition("=")[0] for one in arguments if one.startswith("--")}
                assert used <= options_of(COMMANDS[path]), f"{name(document)}: {line}"


def kinds(base: type[errors.AppError]) -> Iterator[type[errors.AppError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def test_every_error_code_is_in_the_reference_with_its_status() -> None:
    text = (DOCS / "reference" / "errors.md").read_text()
    described = dict(re.findall(r"^### `(\w+)`\n\nStatus (\d+)\.", text, re.MULTILINE))
    assert described == {kind.code: str(kind.status) for kind in kinds(errors.AppError)}


@pytest.mark.parametrize("page", PAGES)
def test_generated_references_are_what_the_code_says(page: str) -> None:
    assert (DOCS / "reference" / page).read_text() == PAGES[page](), "run: make reference"


def test_every_error_says_what_to_do() -> None:
    assert not [kind.__name__ for kind in kinds(errors.AppError) if not kind.remedy.endswith(".")]


async def test_the_type_of_every_error_is_a_page_of_the_server_with_its_anchor(settings: Settings) -> None:
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://vultus") as client:
        refused = await client.get("/api/v1/nothing")
        page = await client.get(refused.json()["type"].partition("#")[0])
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    anchors = set(re.findall(r'id="(\w+)"', page.text))
    assert anchors == {kind.code for kind in kinds(errors.AppError)}
    assert refused.json()["type"] == "/docs/errors#route_not_found"
    assert not re.search(r"https?://", page.text), "it works without a network"


def test_permissions_roles_and_scopes_are_those_of_the_code() -> None:
    described = {words(row[0])[0] for row in rows(section("permissions.md", "Permissions")) if words(row[0])}
    assert described == set(Permission)
    roles = {words(row[0])[0]: row[1] for row in rows(section("permissions.md", "Roles of users")) if words(row[0])}
    assert {role: set(Permission) if cell == "all" else set(words(cell)) for role, cell in roles.items()} == {
        role: set(ROLE_PERMISSIONS[role]) for role in Role
    }
    scopes = {words(row[0])[0]: set(words(row[1])) for row in rows(section("permissions.md", "Scopes of keys"))[1:]}
    assert scopes == {scope: set(SCOPE_PERMISSIONS[scope]) for scope in Scope}


def test_plans_are_those_of_a_new_database() -> None:
    plans = importlib.import_module("migrations.versions.0004_plans_limits_and_idempotency").PLANS
    videos = importlib.import_module("migrations.versions.0039_seconds_of_videos").LIMITS
    described = {words(row[0])[0]: row[1:] for row in rows(section("permissions.md", "Plans")) if words(row[0])}
    for index, plan in enumerate(("free", "pro")):
        rates, quotas = plans[plan]
        assert {one: described[one][index] for one in Permission} == rates
        assert {one: int(described[one][index].replace(",", "")) for one in Quota} == {
            **quotas,
            Quota.VIDEO_SECONDS: videos[plan],
        }
    assert Plan("any").rate(Permission.READ) == DEFAULT_RATE == "60/minute"


def test_every_type_of_event_is_in_the_reference_with_its_data_and_an_example() -> None:
    kinds = [kind.value for kind in EventType]
    assert [words(row[0])[0] for row in rows(section("events.md", "Types"))[1:]] == kinds
    data = {words(row[0])[0]: row[1] for row in rows(section("events.md", "Data"))[1:]}
    examples = re.findall(
        r"^`([^`]+)`:\n\n```json\n(.*?)^```", section("events.md", "Examples"), re.DOTALL | re.MULTILINE
    )
    assert list(data) == [kind for kind, _ in examples] == kinds
    for kind, example in examples:
        always = words(re.sub(r"\[[^\]]*\]", "", data[kind]))
        assert set(always) <= set(json.loads(example)) <= set(words(data[kind])), kind


def test_every_route_is_in_the_reference_with_its_permission(settings: Settings) -> None:
    dependencies = route_dependencies(create_app(settings))
    needed = {
        route.replace(API, "", 1): call.permission
        for route, calls in dependencies.items()
        for call in calls
        if hasattr(call, "permission")
    }
    prefix = " /compreface"
    of_compreface = {route.replace(prefix, " "): needed.pop(route) for route in list(needed) if prefix in route}
    listed = rows(section("permissions.md", "Operations of the CompreFace protocol"))
    assert {words(row[0])[0]: words(row[1])[0] for row in listed if words(row[0])} == {
        route: permission for route, permission in of_compreface.items() if not route.endswith("/")
    }
    text = section("permissions.md", "Routes")
    described = {words(row[0])[0]: words(row[1])[0] for row in rows(text) if words(row[0])}
    assert described == needed
    for route in {*PUBLIC_ROUTES, *AUTHENTICATED_ROUTES}:
        assert f"`{route.replace(API, '', 1)}`" in text
    operations = {
        (operation, words(row[0])[0])
        for row in rows(section("permissions.md", "Operations of the Rekognition protocol"))
        if words(row[0])
        for operation in words(row[1])
    }
    assert operations == {(operation, one.permission.value) for operation, one in OPERATIONS.items()}
