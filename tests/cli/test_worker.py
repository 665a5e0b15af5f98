"""`vultus worker` as a process: it works without serving, ends when it is told to, and neither loses nor repeats."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.album_servers import counts_of, make_key, wait_for, working, write_photos
from tests.cli.test_serve import service_env
from tests.commands import Commands
from tests.servers import serving

__all__ = ["service_env"]

PHOTOS = 120


def events(process: "subprocess.Popen[bytes]") -> list[dict[str, object]]:
    """What the ended process logged."""
    assert process.stderr is not None
    return [json.loads(line) for line in process.stderr.read().decode().splitlines() if line.startswith("{")]


def test_a_worker_that_is_stopped_loses_no_photo_and_stores_none_twice(
    service_env: dict[str, str], commands: Commands, tmp_path: Path
) -> None:
    photos = write_photos(tmp_path / "photos", PHOTOS)
    spool = Path(service_env["VULTUS_DATA_DIR"]) / "photos"
    of_others = {path for path in spool.rglob("*") if path.is_file()}
    with serving(**service_env) as (base, _):
        env = {"VULTUS_API_KEY": make_key(base)}
        sent = commands.run("albums", "upload", "party", photos, "--url", base, "--create", "--no-wait", env=env)
        assert sent.returncode == 0, sent.stderr
        assert counts_of(base, env["VULTUS_API_KEY"], "party")["received"] == PHOTOS
        worker_env = {**service_env, "VULTUS_LOG_LEVEL": "info"}
        with working("--turns", "1", "--concurrency", "1", **worker_env) as first:
            wait_for(lambda: counts_of(base, env["VULTUS_API_KEY"], "party")["done"] > 0, why="nothing is processed")
            if sys.platform == "linux":
                assert os.getpriority(os.PRIO_PROCESS, first.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
            first.send_signal(signal.SIGTERM)
            assert first.wait(timeout=60) == 0
            names = [event["event"] for event in events(first)]
            assert [name for name in names if str(name).startswith("worker_")] == [
                "worker_started",
                "worker_stopping",
                "worker_stopped",
            ]
        counts = counts_of(base, env["VULTUS_API_KEY"], "party")
        assert counts["working"] == 0  # it ended what it had begun
        assert counts["received"] > 0
        with working(**worker_env) as second:
            done = commands.run("albums", "upload", "party", photos, "--url", base, "--json", env=env)
            assert done.returncode == 0, done.stderr
            second.send_signal(signal.SIGINT)
            assert second.wait(timeout=60) == 0
        said = json.loads(done.stdout)
        assert (said["sent"], said["skipped"], said["photos"]["done"]) == (0, PHOTOS, PHOTOS)
        assert said["photos"]["faces"] >= 2 * PHOTOS
        headers = {"authorization": f"Bearer {env['VULTUS_API_KEY']}"}
        faces = httpx.get(f"{base}/api/v1/collections/party", headers=headers, timeout=30).json()
        assert faces["templates"] == said["photos"]["faces"]
    assert {path for path in spool.rglob("*") if path.is_file()} <= of_others


def test_what_a_worker_counts_the_server_shows(service_env: dict[str, str], commands: Commands, tmp_path: Path) -> None:
    token = "a token for the tests' metrics, 32 bytes"
    shared = {**service_env, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    with serving(**shared, VULTUS_METRICS_TOKEN=token) as (base, _), working(**shared):
        env = {"VULTUS_API_KEY": make_key(base)}
        photos = write_photos(tmp_path / "photos", 3)
        done = commands.run("albums", "upload", "party", photos, "--url", base, "--create", env=env)
        assert done.returncode == 0, done.stderr
        metrics = httpx.get(f"{base}/metrics", headers={"authorization": f"Bearer {token}"}).text
        assert 'vultus_album_photos_total{code="",state="done"} 3.0' in metrics


@pytest.mark.parametrize(
    ("options", "env", "code", "said"),
    [
        (["--turns", "0"], {}, 2, "--turns"),
        (["--concurrency", "0"], {}, 2, "--concurrency"),
        ([], {"VULTUS_MODEL_PACK": "nowhere"}, 1, "nowhere"),
        ([], {"VULTUS_WORKER_TURNS": "x"}, 1, "VULTUS_WORKER_TURNS"),
    ],
)
def test_a_worker_that_cannot_start_says_why_in_one_line(
    service_env: dict[str, str],
    commands: Commands,
    options: list[str],
    env: dict[str, str],
    code: int,
    said: str,
) -> None:
    done = commands.run("worker", *options, env={**service_env, **env})
    assert done.returncode == code
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("vultus:")]
    assert said in line
    assert "Traceback" not in done.stderr
