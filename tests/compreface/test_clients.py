"""CompreFace's own clients, unmodified, with a real server: only the port and the key are ours."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import packages, pictures
from tests.servers import serving

_HERE = Path(__file__).resolve().parent
_PASSWORD = "correct horse battery"
_NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "No matching distribution")
"""What pip says where it reaches no index."""


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


@pytest.fixture
def address(server: str) -> tuple[str, str]:
    """The domain and the port that a client is given."""
    domain, _, port = server.rpartition(":")
    return domain, f"{port}/compreface"


@pytest.fixture
def key(server: str) -> Iterator[str]:
    """A key that is limited to one collection of a new tenant."""
    email = f"{uuid4().hex}@example.com"
    with httpx.Client(base_url=f"{server}/api/v1") as native:
        native.post("/auth/signup", json={"tenant": "Acme", "email": email, "password": _PASSWORD}).raise_for_status()
        login = native.post("/auth/token", data={"username": email, "password": _PASSWORD}).raise_for_status().json()
        native.headers["authorization"] = f"Bearer {login['access_token']}"
        native.post("/collections", json={"name": "people"}).raise_for_status()
        body = {"name": "key", "scopes": ["register", "recognize", "delete"], "collections": ["people"]}
        yield native.post("/keys", json=body).raise_for_status().json()["key"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    drawn = {
        "ada": pictures.photo(1),
        "again": pictures.photo(1, 1),
        "bob": pictures.photo(2),
        "both": pictures.group(1, 2),
        "nobody": pictures.landscape(),
    }
    for name, photo in drawn.items():
        (tmp_path / f"{name}.jpg").write_bytes(photo)
    return tmp_path


def test_the_client_for_python(address: tuple[str, str], key: str, photos: Path) -> None:
    python = _install_python(_HERE / "python" / "requirements.txt")
    answers = _run([python, _HERE / "python" / "client.py", *address, key, photos])
    check(answers)
    assert answers["added_bytes"]["subject"] == "bob"
    assert answers["deleted_again"]["code"] == 44
    assert answers["emptied"] == {"deleted": 1}


def test_the_client_for_javascript(address: tuple[str, str], key: str, photos: Path) -> None:
    node, npm = packages.find_node()
    # A program finds its packages in a `node_modules` above it.
    installed = packages.install(npm, _HERE / "javascript")
    with tempfile.TemporaryDirectory(dir=installed) as folder:
        program = Path(folder) / "client.mjs"
        shutil.copy(_HERE / "javascript" / "client.mjs", program)
        answers = _run([node, program, *address, key], directory=photos)
    check(answers)
    assert answers["addedBytes"]["subject"] == "bob"
    assert answers["deletedMany"] == [answers["addedBytes"]]
    assert (answers["deletedAgain"]["status"], answers["deletedAgain"]["code"]) == (404, 44)
    assert answers["refused"]["status"] == 400


def check(answers: dict[str, Any]) -> None:
    """What both clients must have been told."""
    assert answers["added"]["subject"] == "Ada Acker"
    assert answers["refused"]["code"] == 28
    assert answers["created"] == {"subject": "cid"}
    assert answers["subjects"] == {"subjects": ["Ada Acker", "bob", "cid"]}
    assert {face["subject"] for face in answers["faces"]["faces"]} == {"Ada Acker", "bob"}

    (recognized,) = answers["recognized"]["result"]
    (nearest,) = recognized["subjects"]
    assert nearest["subject"] == "Ada Acker"
    assert 0.5 < nearest["similarity"] <= 1
    assert answers["recognized"]["plugins_versions"]["detector"]

    assert [len(face["subjects"]) for face in answers["predicted"]["result"]] == [2, 2]
    assert all(len(face["landmarks"]) == 5 for face in answers["predicted"]["result"])
    assert len(answers["detected"]["result"]) == 2
    (verified,) = answers["verified"]["result"]
    assert verified["face_matches"][0]["similarity"] > 0.5
    (compared,) = answers["compared"]["result"]
    assert compared["similarity"] == pytest.approx(nearest["similarity"], abs=1e-3)

    assert answers["renamed"] == {"updated": True}
    assert answers["deleted"] == answers["added"]
    deleted_subjects = answers.get("deleted_subjects") or answers["deletedSubjects"]
    assert deleted_subjects == {"deleted": 2}
    assert answers["left"] == {"subjects": []}


def _run(command: list[Any], directory: Path | None = None) -> dict[str, Any]:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def _install_python(requirements: Path) -> Path:
    """Return the interpreter of an environment with these packages, outside the repository, kept for the next run."""
    lock = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    kept = Path(tempfile.gettempdir()) / f"vultus-tests-compreface-{lock[:16]}"
    python = kept / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if (kept / "complete").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", kept], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", requirements]
    done = subprocess.run([*map(str, install)], capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != 0:
        if any(sign in done.stderr for sign in _NO_NETWORK):
            pytest.skip("pip could not reach its index: no network")
        pytest.fail(f"pip failed: {done.stderr}")
    (kept / "complete").touch()
    return python
