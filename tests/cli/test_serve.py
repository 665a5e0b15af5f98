"""`vultus serve` as a process: several workers on one database, started, used and ended from outside."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests import pictures

_START_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(workers: int, **env: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    port = free_port()
    command = [str(Path(sys.executable).parent / "vultus"), "serve", "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                if httpx.get(f"{base}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not become ready"
            time.sleep(0.1)
        yield base, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_one_worker_stores_every_worker_finds(
    workers: int, data_dir: Path, database_url: str, synthetic_pack: Path
) -> None:
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": database_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
    }
    with serving(workers, **env) as (base, process):
        api, email = f"{base}/api/v1", f"{uuid4().hex}@example.com"
        body = {"tenant": "Acme", "email": email, "password": "correct horse"}
        assert httpx.post(f"{api}/auth/signup", json=body).status_code == 201
        form = {"username": email, "password": "correct horse"}
        token = httpx.post(f"{api}/auth/token", data=form).json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        files = {"images": ("a.jpg", pictures.photo(1), "image/jpeg")}
        registered = httpx.post(f"{api}/register", headers=headers, data={"subject": "ada"}, files=files)
        assert registered.status_code == 201, registered.text
        for take in range(4 * workers):
            photo = {"image": ("a.jpg", pictures.photo(1, take % 3), "image/jpeg")}
            found = httpx.post(f"{api}/recognize", headers=headers, files=photo).json()
            assert found["faces"][0]["candidates"][0]["subject"] == "ada"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) in (0, -signal.SIGTERM)


def test_an_embedded_database_is_started_and_stopped_with_the_server(tmp_path: Path, synthetic_pack: Path) -> None:
    env = {"VULTUS_DATA_DIR": str(tmp_path / "data"), "VULTUS_MODEL_PACK": str(synthetic_pack)}
    pid_file = tmp_path / "data" / "postgres" / "postmaster.pid"
    with serving(2, **env):
        assert pid_file.exists()
    assert not pid_file.exists()
