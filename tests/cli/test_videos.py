"""`vultus videos` against a running server, and workers that are killed while they watch."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx

from app.persistence.connections.database import driver_address
from tests import pictures
from tests.cli.album_servers import make_key, working
from tests.cli.test_serve import service_env
from tests.commands import Commands
from tests.servers import serving
from tests.videos import Part, film

__all__ = ["service_env"]

SCRIPT = [Part(1, 0, 3), Part(2, 2, 6, 450, 480)]


def test_a_video_from_sending_to_erasure(service_env: dict[str, str], commands: Commands, tmp_path: Path) -> None:
    video = tmp_path / "party.mp4"
    video.write_bytes(film(SCRIPT, 6, per_second=4))
    with serving(**service_env, VULTUS_ALBUM_WORKER="true") as (base, _):
        key = make_key(base)
        headers = {"authorization": f"Bearer {key}"}
        photo = {"images": ("a.jpg", pictures.photo(1))}
        registered = httpx.post(f"{base}/api/v1/register", data={"subject": "ada"}, files=photo, headers=headers)
        assert registered.status_code == 201, registered.text

        def vultus(*arguments: "str | Path") -> "subprocess.CompletedProcess[str]":
            command = ("videos", *arguments, "--url", base)
            return commands.run(*command, env={"VULTUS_API_KEY": key}, directory=tmp_path)

        added = vultus("add", video, "--people", "default", "--json")
        assert added.returncode == 0, added.stderr
        people = {row["subject"]: row for row in json.loads(added.stdout)}
        assert set(people) == {"ada", ""}
        assert people["ada"]["state"] == "matched"
        assert people["ada"]["seen"] == "0:00.0-0:02.5"
        (listed,) = json.loads(vultus("list", "--album", "videos", "--json").stdout)
        assert (listed["external_id"], listed["state"], listed["people"]) == ("party.mp4", "done", "2")
        shown = vultus("people", listed["video_id"], "--json")
        assert json.loads(shown.stdout) == json.loads(added.stdout)
        bad = tmp_path / "bad.mp4"
        bad.write_bytes(b"no video")
        refused = vultus("add", bad)
        assert (refused.returncode, "video_unreadable" in refused.stderr) == (1, True)
        assert vultus("delete", listed["video_id"], "--yes").returncode == 0
        assert [row["state"] for row in json.loads(vultus("list", "--json").stdout)] == ["failed"]


async def lose_leases(url: str) -> None:
    """Let the leases of a killed worker run out now; they would in 45 seconds."""
    connection = await asyncpg.connect(driver_address(url))
    await connection.execute("UPDATE video_steps SET leased_until = now() WHERE state = 'working'")
    await connection.close()


def test_killed_workers_lose_nobody_and_see_nobody_twice(
    service_env: dict[str, str], database_url: str, commands: Commands, tmp_path: Path
) -> None:
    video = tmp_path / "long.mp4"
    video.write_bytes(film([Part(1, 0, 70, 120, 200), Part(2, 30, 65, 520, 440)], 70, per_second=2))
    with serving(**service_env) as (base, _):
        key = make_key(base)
        env = {"VULTUS_API_KEY": key}
        sent = commands.run("videos", "add", video, "--no-wait", "--url", base, "--json", env=env, directory=tmp_path)
        assert sent.returncode == 0, sent.stderr
        address = f"{base}/api/v1/videos/{json.loads(sent.stdout)['video_id']}"
        headers = {"authorization": f"Bearer {key}"}

        def state() -> dict[str, object]:
            found: dict[str, object] = httpx.get(address, headers=headers, timeout=30).raise_for_status().json()
            return found

        with working(**service_env) as first:
            wait_until(lambda: state()["state"] == "working")
            first.send_signal(signal.SIGKILL)
        asyncio.run(lose_leases(database_url))
        with working(**service_env):
            wait_until(lambda: state()["state"] == "done", 150)
        people = httpx.get(f"{address}/people", headers=headers, timeout=30).json()["people"]
        seen = [[(one["begin_ms"] // 1000, one["end_ms"] // 1000) for one in person["intervals"]] for person in people]
        assert seen == [[(0, 69)], [(30, 64)]]


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
