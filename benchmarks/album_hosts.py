"""Cut one of two hosts off while both process an album's photos, and check that every photo is done once.

    make prove-album-hosts
    python -m benchmarks.album_hosts [--photos N] [--rounds N] [--out [FILE]]

Each host is a Linux network namespace with one `vultus worker`; PostgreSQL, SeaweedFS and `vultus serve` run beside
them. When a third of the photos are done, one host's link goes down: its packets are lost, and no connection is closed.

- The other host must finish all photos, also those that the lost one had taken.
- Then the lost host's link comes back and the other's goes down: the returned host must process new photos.
- No photo may be stored twice, also not by the returned host.

Needs Linux and root, for the namespaces. Exits with 1 if a goal is missed.
"""

import argparse
import asyncio
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from PIL import Image

from app.ml.synthetic.pack import write_synthetic_pack
from benchmarks.goals import at_least, at_most
from benchmarks.machine import describe_run
from benchmarks.network_hosts import HERE, Host, hosts, postgres
from benchmarks.serving import drawn_photo, sign_up, started_server
from tests.seaweed import SeaweedFS, serving_objects

RESULT = Path(__file__).parent / "results" / "album_hosts.json"
SECRET = "a secret of this proof only, 32 bytes or more"
GOAL_S = 60.0
_RATES = dict.fromkeys(("register", "delete", "read"), "10000000/minute")
_BATCH, _LATER = 20, 32
_TURN_S = 15.0
"""A turn takes less; photos that are taken by the same lease after this time belong to the lost host."""
_TIMEOUT_S = 300.0
_POLL_S = 3.0
"""A worker that has just connected takes its first job within this time."""
_SIDE = 2600
"""The photos' width and height in pixels: many times larger than the drawings, so that photos take their time."""
_WORK = """
import asyncio, signal
from app.settings import load_settings
from app.wiring.process import running_process
async def work():
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    async with running_process(load_settings(), works_on_albums=True):
        await ending.wait()
asyncio.run(work())
"""
"""What `vultus worker` does, for a version without that command."""


class Proof:
    """One service with two hosts that process photos."""

    def __init__(self, client: httpx.Client, owner: str, lost: Host, other: Host) -> None:
        self._client = client
        self._owner = owner
        self._lost = lost
        self._other = other

    def run(self, round_number: int, photos: int) -> dict[str, Any]:
        """Cut a host off once and return what became of the photos."""
        album = f"round-{round_number}"
        self._client.post("/albums", json={"id": album}).raise_for_status()
        self._wait_for_workers()
        self._send(album, 0, photos)
        self._wait(album, photos // 3)
        leases = self._query("SELECT DISTINCT lease FROM photos WHERE state = 'working'")
        cut_at = self._query("SELECT clock_timestamp() AS now")[0]["now"]
        self._lost.cut_off()
        time.sleep(_TURN_S)
        taken = [
            row["id"]
            for row in self._query(
                "SELECT id FROM photos WHERE state = 'working' AND lease = ANY ($1::uuid[])",
                [row["lease"] for row in leases],
            )
        ]
        self._wait(album, photos)
        held = self._query("SELECT max(finished_at) AS done, max(attempts) AS n FROM photos WHERE id = ANY ($1)", taken)
        every = self._query("SELECT max(finished_at) AS done FROM photos")
        self._lost.restore()
        self._other.cut_off()
        back_at = time.monotonic()
        self._send(album, photos, _LATER)
        self._wait(album, photos + _LATER)
        back_s = time.monotonic() - back_at
        self._other.restore()
        return {
            "held_by_lost_host": len(taken),
            "held_done_elsewhere_s": round((held[0]["done"] - cut_at).total_seconds(), 1) if taken else None,
            "all_done_s": round((every[0]["done"] - cut_at).total_seconds(), 1),
            "returned_host_done_s": round(back_s, 1),
            **self._check(album, photos + _LATER),
        }

    def _send(self, album: str, first: int, count: int) -> None:
        for start in range(first, first + count, _BATCH):
            numbers = range(start, min(start + _BATCH, first + count))
            files = [("images", (f"{number}.jpg", _large_photo(number + 1), "image/jpeg")) for number in numbers]
            data = {"external_ids": json.dumps([f"{number}.jpg" for number in numbers])}
            answer = self._client.post(f"/albums/{album}/photos", data=data, files=files).raise_for_status()
            assert all(item["answer"] for item in answer.json()["items"])

    def _wait_for_workers(self) -> None:
        """Wait until both hosts take jobs."""
        deadline = time.monotonic() + _TIMEOUT_S
        taking = "SELECT DISTINCT client_addr FROM pg_stat_activity WHERE application_name = 'vultus-worker'"
        while len(self._query(taking)) < 2:
            if time.monotonic() > deadline:
                raise SystemExit("the workers are not connected")
            time.sleep(0.5)
        time.sleep(_POLL_S)

    def _wait(self, album: str, finished: int) -> None:
        """Wait until so many photos of the album are done or failed."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            counts = self._client.get(f"/albums/{album}").raise_for_status().json()["photos"]
            if counts["done"] + counts["failed"] >= finished:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"album {album} after {_TIMEOUT_S:.0f} s: {counts}")
            time.sleep(0.1)

    def _check(self, album: str, photos: int) -> dict[str, int]:
        """Count the photos that are not done, and those that were stored twice, by rows and by the audit trail."""
        (row,) = self._query(
            "SELECT count(*) FILTER (WHERE p.state = 'done') AS done, coalesce(sum(p.faces), 0) AS faces, "
            "(SELECT count(*) FROM templates t WHERE t.collection_id = c.id) AS stored, "
            "(SELECT coalesce(sum((a.details ->> 'photos')::int), 0) FROM audit_entries a "
            "  WHERE a.action = 'photos.processed' AND a.target = 'collection:' || c.name) AS recorded "
            "FROM collections c JOIN photos p ON p.collection_id = c.id WHERE c.name = $1 GROUP BY c.id, c.name",
            album,
        )
        return {
            "photos": photos,
            "not_done": photos - row["done"],
            "faces_stored_twice": row["stored"] - row["faces"],
            "photos_processed_twice": row["recorded"] - row["done"],
        }

    def _query(self, statement: str, *values: Any) -> list[Any]:
        async def ask() -> list[Any]:
            connection: Any = await asyncpg.connect(self._owner)
            try:
                rows: list[Any] = await connection.fetch(statement, *values)
                return rows
            finally:
                await connection.close()

        return asyncio.run(ask())


@contextmanager
def proof(directory: Path) -> Iterator[Proof]:
    """Start the services and a worker on each of two hosts for the block."""
    with ExitStack() as stack:
        lost, other = stack.enter_context(hosts(2))
        owner, service = stack.enter_context(postgres(directory))
        objects_directory = directory / "objects"
        objects_directory.mkdir()
        objects = stack.enter_context(serving_objects(objects_directory, HERE))
        env = {
            "VULTUS_SECRET_KEY": SECRET,
            "VULTUS_DATABASE_URL": service,
            "VULTUS_MODEL_PACK": str(write_synthetic_pack(directory / "models")),
            "VULTUS_ALBUM_WORKER": "false",
            "VULTUS_INFERENCE_THREADS": "1",
            **_store(objects),
        }
        base, _ = stack.enter_context(started_server(directory / "server", workers=1, **env))
        headers = sign_up(f"{base}/api/v1", owner, _RATES)
        client = stack.enter_context(httpx.Client(base_url=f"{base}/api/v1", headers=headers, timeout=60))
        for host in (lost, other):
            stack.enter_context(_working(host, directory, env))
        yield Proof(client, owner, lost, other)


@cache
def _large_photo(seed: int) -> bytes:
    drawing = Image.open(io.BytesIO(drawn_photo(seed)))
    buffer = io.BytesIO()
    drawing.resize((_SIDE, _SIDE)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _store(objects: SeaweedFS) -> dict[str, str]:
    return {f"VULTUS_{name.upper()}": value for name, value in objects.settings("waiting").items()}


@contextmanager
def _working(host: Host, directory: Path, env: dict[str, str]) -> Iterator[None]:
    """Run a worker on a host for the block; `vultus worker`, if this version has it."""
    has_command = importlib.util.find_spec("app.cli.worker") is not None
    vultus = str(Path(sys.executable).parent / "vultus")
    command = [vultus, "worker"] if has_command else [sys.executable, "-c", _WORK]
    own = {"VULTUS_DATA_DIR": str(directory / host.name), "VULTUS_LOG_LEVEL": "info", "VULTUS_LOG_FORMAT": "json"}
    process = host.start(command, {**env, **own}, directory / f"{host.name}.log")
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _state_goals(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def worst(name: str) -> float:
        return max(float(one[name] or 0) for one in rounds)

    return [
        at_least("photos that the lost host had taken", 1, min(one["held_by_lost_host"] for one in rounds), "photos"),
        at_most("photos that are not done", 0, worst("not_done"), "photos"),
        at_most("faces stored twice", 0, worst("faces_stored_twice"), "faces"),
        at_most("photos processed twice", 0, worst("photos_processed_twice"), "photos"),
        at_most("the lost host's photos are done elsewhere", GOAL_S, worst("held_done_elsewhere_s"), "s"),
        at_most("the returned host processes new photos", GOAL_S, worst("returned_host_done_s"), "s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="vultus-hosts-", ignore_cleanup_errors=True) as directory,
        proof(Path(directory)) as running,
    ):
        rounds = []
        for number in range(1, arguments.rounds + 1):
            rounds.append(running.run(number, arguments.photos))
            print(rounds[-1], flush=True)
    result = {
        "what": "one of two hosts that process an album's photos is cut off, and comes back",
        **describe_run(),
        "photos": arguments.photos,
        "goals": _state_goals(rounds),
        "rounds": rounds,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for goal in result["goals"]:
        print(f"{goal['name']}: {goal['measured']} {goal['unit']}, goal {goal['goal']}, held: {goal['held']}")
    sys.exit(0 if all(goal["held"] for goal in result["goals"]) else 1)


if __name__ == "__main__":
    main()
