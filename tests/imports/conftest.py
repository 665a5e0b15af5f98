"""A real server, tenants with keys, and the `vultus import` command as a process."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import pictures
from tests.commands import Commands
from tests.servers import serving

PASSWORD = "correct horse battery"


@dataclass
class Place:
    """A new tenant of the server: its API as an admin, and a key with the scopes that imports need."""

    base: str
    native: httpx.Client
    key: str

    def faces(self, collection: str = "people") -> list[dict[str, Any]]:
        """Every stored face of a collection."""
        answer = self.native.get(f"/collections/{collection}/faces", params={"limit": 500}).raise_for_status()
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def subjects(self, collection: str = "people") -> dict[str, dict[str, Any]]:
        """The subjects of a collection by id."""
        answer = self.native.get(f"/collections/{collection}/subjects", params={"limit": 500}).raise_for_status()
        return {one["subject"]: one for one in answer.json()["items"]}

    def new_key(self, *scopes: str) -> str:
        made = self.native.post("/keys", json={"name": uuid4().hex, "scopes": scopes}).raise_for_status()
        key: str = made.json()["key"]
        return key


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
def place(server: str) -> Iterator[Place]:
    with new_tenant(server) as made:
        yield made


@pytest.fixture
def other(server: str) -> Iterator[Place]:
    """Another tenant."""
    with new_tenant(server) as made:
        yield made


@contextmanager
def new_tenant(server: str) -> Iterator[Place]:
    with httpx.Client(base_url=f"{server}/api/v1", timeout=30) as native:
        email = f"{uuid4().hex}@example.com"
        native.post("/auth/signup", json={"tenant": "Acme", "email": email, "password": PASSWORD}).raise_for_status()
        login = native.post("/auth/token", data={"username": email, "password": PASSWORD}).raise_for_status().json()
        native.headers["authorization"] = f"Bearer {login['access_token']}"
        made = Place(server, native, "")
        made.key = made.new_key("register")
        yield made


@dataclass
class Done:
    """What came of a run: its exit code, its streams and its report."""

    code: int
    out: str
    err: str
    report: dict[str, Any]

    def reasons(self) -> dict[str, str]:
        """The reason by what was left out."""
        return {one["what"]: one["reason"] for one in self.report.get("left_out", [])}


Run = Callable[..., Done]


@pytest.fixture
def run(commands: Commands, place: Place, tmp_path: Path) -> Run:
    """Runs `vultus import` into the collection `people` of the tenant."""

    def work(*arguments: str | Path, **env: str) -> Done:
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        where = ("--collection", "people", "--url", place.base, "--report", report)
        done: subprocess.CompletedProcess[str] = commands.run(
            "import", *arguments, *where, env={"VULTUS_API_KEY": place.key, **env}
        )
        found = json.loads(report.read_text()) if report.exists() else {}
        assert place.key not in done.stdout + done.stderr + json.dumps(found)
        return Done(done.returncode, done.stdout, done.stderr, found)

    return work


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two people with two photos each, and what cannot be brought."""
    folder = tmp_path / "album"
    for name, seed in (("Ada Löwe", 1), ("bob", 2)):
        (folder / name).mkdir(parents=True)
        for take in range(2):
            (folder / name / f"{take}.jpg").write_bytes(pictures.photo(seed, take))
    (folder / "bob" / "lake.jpg").write_bytes(pictures.landscape())
    (folder / "bob" / "notes.txt").write_text("no photo")
    (folder / "alone.jpg").write_bytes(pictures.photo(3))
    return folder
