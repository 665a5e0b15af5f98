"""Processes of a running server that somebody kills: the others notice."""

import itertools
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.api.conftest import PASSWORD
from tests.cli.test_serve import service_env
from tests.servers import serving

__all__ = ["service_env"]

GIVE_UP_S = 60


def wait_until(is_true: object, *, why: str) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < deadline, why
        time.sleep(0.2)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_an_embedded_database_that_is_killed_is_started_again(
    workers: int, tmp_path: Path, synthetic_pack: Path
) -> None:
    env = {"VULTUS_DATA_DIR": str(tmp_path / "data"), "VULTUS_MODEL_PACK": str(synthetic_pack)}
    pid_file = tmp_path / "data" / "postgres" / "postmaster.pid"
    with serving(workers, **env) as (base, _):
        killed = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        killed.kill()
        wait_until(lambda: not is_alive(killed), why="the database outlived its end")
        wait_until(lambda: httpx.get(f"{base}/readyz", timeout=30).status_code == 200, why="it was not restarted")
        restarted = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        assert restarted != killed
    assert not pid_file.exists()
    assert not is_alive(restarted)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a process of its parent's end")
def test_workers_end_with_a_supervisor_that_is_killed(service_env: dict[str, str]) -> None:
    with serving(2, **service_env) as (_, process):
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: not any(map(is_alive, children)), why="a worker serves on")


def test_every_change_is_counted_although_its_worker_is_killed(service_env: dict[str, str]) -> None:
    """As many as there are: the count and the change are one transaction."""
    email, answered, threads = f"{uuid4().hex}@example.com", list[str](), 4
    with serving(1, **service_env) as (base, process):
        api = f"{base}/api/v1"
        signup = {"tenant": "Acme", "email": email, "password": PASSWORD}
        httpx.post(f"{api}/auth/signup", json=signup, timeout=30).raise_for_status()
        subjects = f"{api}/collections/default/subjects"
        headers = sign_in(api, email)

        def create(number: int) -> None:
            with httpx.Client(headers=headers, timeout=30) as client:
                for index in itertools.count():
                    name = f"subject-{number}-{index}"
                    try:
                        client.post(subjects, json={"subject": name}).raise_for_status()
                    except httpx.TransportError:
                        return
                    answered.append(name)

        with ThreadPoolExecutor(threads) as pool:
            running = [pool.submit(create, number) for number in range(threads)]
            wait_until(lambda: len(answered) > 50, why="the server creates no subjects")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            for one in running:
                one.result()
    with serving(1, **service_env) as (base, _):
        api = f"{base}/api/v1"
        with httpx.Client(headers=sign_in(api, email), timeout=30) as client:
            counts = client.get(f"{api}/usage").json()["items"]
            created = {item["operation"]: item["calls"] for item in counts}["create_subject"]
            stored = client.get(f"{api}/collections/default").json()["subjects"]
    assert created == stored
    assert len(answered) <= created <= len(answered) + threads


def sign_in(api: str, email: str) -> dict[str, str]:
    form = {"username": email, "password": PASSWORD}
    token = httpx.post(f"{api}/auth/token", data=form, timeout=30).raise_for_status().json()["access_token"]
    return {"authorization": f"Bearer {token}"}
