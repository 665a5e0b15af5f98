"""Processes of a running server that somebody kills: the others notice."""

import os
import signal
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

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
