"""A real server that processes albums and sends webhooks, and tenants whom programs ask it as."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests import pictures
from tests.clients.typescript_builds import building
from tests.receivers import Receiver, receiving
from tests.servers import serving

PASSWORD = "correct horse battery"
SCOPES = ["register", "recognize", "embeddings:read", "delete", "admin"]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def client_env(data_dir: Path, service_url: str, synthetic_pack: Path) -> dict[str, str]:
    return {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_PUBLIC_RATE": "100000/minute",
        "VULTUS_LOG_LEVEL": "error",
    }


@pytest.fixture(scope="module")
def client_server(client_env: dict[str, str], receiver: Receiver) -> Iterator[str]:
    more = {"VULTUS_ALBUM_WORKER": "true", "VULTUS_WEBHOOK_INTERNAL_HOSTS": receiver.url}
    with serving(1, **client_env, **more) as (base, _):
        yield base


@pytest.fixture(scope="session")
def built() -> Iterator[Path]:
    """The folder of the compiled programs in JavaScript, and of the client that they use."""
    with building() as folder:
        yield folder


@pytest.fixture
def login(client_server: str) -> tuple[str, str]:
    """The email and the password of a new tenant's admin."""
    email = f"{uuid4().hex}@example.com"
    body = {"tenant": "Acme", "email": email, "password": PASSWORD}
    httpx.post(f"{client_server}/api/v1/auth/signup", json=body).raise_for_status()
    return email, PASSWORD


@pytest.fixture
def api_key(client_server: str, login: tuple[str, str]) -> str:
    """A key of that tenant with every scope."""
    api = f"{client_server}/api/v1"
    form = {"username": login[0], "password": login[1]}
    token = httpx.post(f"{api}/auth/token", data=form).raise_for_status().json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    made = httpx.post(f"{api}/keys", headers=headers, json={"name": "tests", "scopes": SCOPES}).raise_for_status()
    key: str = made.json()["key"]
    return key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with six photos of an event: the first three show person 1. One more file is no photo."""
    folder = tmp_path / "event"
    for number in range(6):
        photo = folder / ("b" if number % 2 else "a") / f"{number}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(pictures.group(1 if number < 3 else 20 + number, 50 + number))
    (folder / "notes.txt").write_text("no photo")
    return folder
