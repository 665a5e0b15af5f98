"""Clients that others generate from the OpenAPI document: they compile, and their programs work with a real server."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.main import create_app
from tests import packages, pictures
from tests.servers import serving

_HERE = Path(__file__).parent
_PYTHON, _TYPESCRIPT = _HERE / "python", _HERE / "typescript"
_IMPORT_ALL = """
import pkgutil, vultus_api
for module in pkgutil.walk_packages(vultus_api.__path__, "vultus_api."):
    __import__(module.name)
"""
_PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(data_dir: Path, service_url: str, synthetic_pack: Path) -> Iterator[str]:
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_PUBLIC_RATE": "100000/minute",
        "VULTUS_LOG_LEVEL": "error",
    }
    with serving(1, **env) as (base, _):
        yield base


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The OpenAPI document as a file."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(create_app().openapi()))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with the photos that the programs send."""
    folder = tmp_path / "photos"
    folder.mkdir()
    known, again, empty = pictures.photo(1), pictures.photo(1, 3), pictures.landscape()
    for name, photo in {"known": known, "again": again, "empty": empty}.items():
        (folder / f"{name}.jpg").write_bytes(photo)
    return folder


@pytest.fixture
def env(server: str) -> dict[str, str]:
    """An environment in which a program finds the server and the login of a new tenant."""
    email = f"{uuid4().hex}@example.com"
    body = {"tenant": "Acme", "email": email, "password": _PASSWORD}
    httpx.post(f"{server}/api/v1/auth/signup", json=body).raise_for_status()
    return {**os.environ, "VULTUS_URL": server, "VULTUS_EMAIL": email, "VULTUS_PASSWORD": _PASSWORD}


def test_a_generated_python_client(document: Path, photos: Path, env: dict[str, str], tmp_path: Path) -> None:
    generator = Path(sys.executable).parent / "openapi-python-client"
    package = tmp_path / "vultus_api"
    options = ["--output-path", str(package), "--meta", "none", "--fail-on-warning"]
    settings = tmp_path / "settings.yaml"
    # The hooks format the code; a picture is read as bytes.
    settings.write_text("post_hooks: []\ncontent_type_overrides:\n  image/jpeg: application/octet-stream\n")
    run([generator, "generate", "--path", document, *options, "--config", settings])
    importing = {**env, "PYTHONPATH": str(tmp_path)}
    run([sys.executable, "-W", "error", "-c", _IMPORT_ALL], env=importing)
    check(json.loads(run([sys.executable, _PYTHON / "client.py", photos], env=importing)))


def test_a_generated_typescript_client(document: Path, photos: Path, env: dict[str, str]) -> None:
    node, npm = packages.find_node()
    # A program finds its packages in a `node_modules` above it.
    installed = packages.install(npm, _TYPESCRIPT)
    programs = installed / "node_modules" / ".bin"
    with tempfile.TemporaryDirectory(dir=installed) as folder:
        for name in ("client.ts", "tsconfig.json"):
            shutil.copy(_TYPESCRIPT / name, folder)
        (Path(folder) / "package.json").write_text('{"type": "module"}')
        schema = Path(folder) / "schema.ts"
        run([programs / "openapi-typescript", document, "--output", schema, "--default-non-nullable=false"])
        run([programs / "tsc", "--project", folder])
        check(json.loads(run([node, Path(folder) / "built" / "client.js", photos], env=env)))


def test_the_readme_names_the_tested_versions() -> None:
    readme = (_HERE.parents[1] / "README.md").read_text()
    typescript = json.loads((_TYPESCRIPT / "package.json").read_text())["devDependencies"]["openapi-typescript"]
    assert f"npx openapi-typescript@{typescript} " in readme
    assert f"uvx openapi-python-client@{version('openapi-python-client')} " in readme


def run(command: list[Any], env: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output; fails with all its output if it does."""
    done = subprocess.run(
        [str(word) for word in command], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def check(answers: dict[str, Any]) -> None:
    """What each program must have been told."""
    assert [template["index"] for template in answers["registered"]["templates"]] == [0]
    (face,) = answers["recognized"]["faces"]
    (candidate,) = face["candidates"]
    assert (candidate["subject"], candidate["name"], candidate["decision"]) == ("emp-1042", "Ada Acker", "match")

    known, empty, broken = answers["batch"]["items"]
    assert known["answer"]["faces"][0]["candidates"][0]["subject"] == "emp-1042"
    assert empty["answer"]["faces"] == []
    assert (broken["answer"], broken["problem"]["code"]) == (None, "image_unreadable")

    assert answers["verified"]["decision"] == "match"
    (subject,) = answers["subjects"]["items"]
    assert (subject["subject"], subject["metadata"]) == ("emp-1042", {"team": 7})

    missing = answers["missing"]
    assert (missing["status"], missing["code"]) == (404, "subject_not_found")
    assert missing["detail"]
    assert answers["contentType"] == "application/problem+json"
