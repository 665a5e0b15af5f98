"""Kill workers and restart PostgreSQL while an album is processed, and check the photos afterwards.

    make prove-albums
    python -m benchmarks.album_kills [--photos N] [--seed N] [--out [FILE]]

A server has received 2,000 drawn photos and five more that kill their worker: this script watches the rows of those
five, and kills the worker as soon as it has begun with one. Every other worker receives SIGKILL after 5 seconds, or 3
seconds after it has started if that is later. PostgreSQL is restarted twice. Then the script checks:

- Every photo ended; none is missing.
- Every processed photo has exactly the stored faces that its row says, each once.
- The five harmful photos failed as such, after three tries at most; no other photo failed.
- The spool and the list of discarded objects are empty.

Exits with 1 if a check fails.
"""

import argparse
import asyncio
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from PIL import Image

from app.errors import PhotoHarmful
from app.persistence.repositories.photo_turns import MAX_ATTEMPTS
from benchmarks.albums.stage import Inputs, Stage
from benchmarks.goals import at_most
from benchmarks.machine import describe_run
from benchmarks.serving import drawn_photo

RESULT = Path(__file__).parent / "results" / "album_kills.json"
HARMFUL, DRAWN = 5, 40
LIFE_S, LIFE_AFTER_START_S = 5.0, 3.0
RESTARTS_AFTER = (3, 8)
"""PostgreSQL is restarted with these kills."""
GIVE_UP_S = 900
_EMPTY_WITHIN_S = 60
_HARMFUL_SIDE = 4000


class Proof:
    """Sends photos to one server, then starts and kills workers until all photos have ended."""

    def __init__(self, stage: Stage, photos: int, seed: int) -> None:
        self._stage = stage
        self._photos = photos
        self._rng = random.Random(seed)
        self._harmful: dict[UUID, int] = {}
        """The tries that were seen of each harmful photo."""
        self.kills = {"after 5 s": 0, "on a harmful photo": 0}
        self.restarts = 0

    def send(self, api: str) -> None:
        """Send the photos in random order, the harmful ones among them."""
        tenant = self._stage.new_tenant(api)
        album = self._stage.new_album(api, tenant)
        drawn = [drawn_photo(seed, side=200) for seed in range(1, DRAWN + 1)]
        harmful = _enlarge(drawn[0])
        names = [f"photo-{number}" for number in range(self._photos)]
        names += [f"harmful-{number}" for number in range(HARMFUL)]
        self._rng.shuffle(names)
        with httpx.Client(base_url=api, headers=tenant.headers, timeout=60) as client:

            def put(name: str) -> None:
                photo = harmful if name.startswith("harmful") else self._rng.choice(drawn)
                files = {"image": ("a.jpg", photo, "image/jpeg")}
                client.put(f"/albums/{album}/photos/{name}", files=files).raise_for_status()

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(put, names))
        rows = self._stage.ask("SELECT id FROM photos WHERE external_id LIKE 'harmful-%'")
        self._harmful = {UUID(str(row["id"])): 0 for row in rows}

    def process(self) -> None:
        """Start workers and kill them until no photo waits."""
        deadline = time.monotonic() + GIVE_UP_S
        while self._count_waiting():
            if time.monotonic() > deadline:
                raise SystemExit("the photos do not end")
            with tempfile.TemporaryFile() as log:
                worker = self._start(log)
                reason = asyncio.run(self._watch(worker, log))
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
                worker.wait()
            if reason is not None:
                self.kills[reason] += 1
            if sum(self.kills.values()) in RESTARTS_AFTER and self.restarts < len(RESTARTS_AFTER):
                self._restart_postgres()
            print(f"{self.kills}, {self._count_waiting()} photos wait", flush=True)

    def _start(self, log: Any) -> "subprocess.Popen[bytes]":
        command = [str(Path(sys.executable).parent / "vultus"), "worker", "--nice", "0"]
        env = {**os.environ, **self._stage.env, "VULTUS_LOG_LEVEL": "info", "VULTUS_LOG_FORMAT": "json"}
        return subprocess.Popen(command, env=env, stderr=log)

    async def _watch(self, worker: "subprocess.Popen[bytes]", log: Any) -> str | None:
        """Return why the worker is to be killed now; None if all photos have ended."""
        spawned_at, started_at = time.monotonic(), 0.0
        connection: Any = None
        while worker.poll() is None:
            await asyncio.sleep(0.01)
            started_at = started_at or (time.monotonic() if _has_started(log) else 0.0)
            try:
                connection = connection or await asyncpg.connect(self._stage.admin)
                if await self._has_begun_with_harmful(connection):
                    return "on a harmful photo"
                waiting = "SELECT count(*) FROM photos WHERE state IN ('received', 'working')"
                if not await connection.fetchval(waiting):
                    await connection.close()
                    return None
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = None
            now = time.monotonic()
            if started_at and now - spawned_at > LIFE_S and now - started_at > LIFE_AFTER_START_S:
                break
        return "after 5 s"

    async def _has_begun_with_harmful(self, connection: Any) -> bool:
        rows = await connection.fetch("SELECT id, attempts FROM photos WHERE id = ANY($1)", list(self._harmful))
        tries = {UUID(str(row["id"])): row["attempts"] for row in rows}
        has_begun = any(tries[photo] > seen for photo, seen in self._harmful.items())
        self._harmful = tries
        return has_begun

    def _count_waiting(self) -> int:
        for _ in range(100):
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                waiting = "SELECT count(*) FROM photos WHERE state IN ('received', 'working')"
                return int(self._stage.ask(waiting)[0][0])
            time.sleep(0.3)
        raise SystemExit("the database does not come back")

    def _restart_postgres(self) -> None:
        """Stop it; `vultus serve` starts it again."""
        pid_file = self._stage.directory / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGINT)
        self.restarts += 1
        time.sleep(2)

    def check(self) -> list[dict[str, Any]]:
        """Compare what is stored with what was sent."""
        one_worker = self._stage.working("--nice", "0")
        with one_worker:  # it empties the spool
            deadline = time.monotonic() + _EMPTY_WITHIN_S
            while self._stage.count_objects() and time.monotonic() < deadline:
                time.sleep(0.5)
        count = self._count
        ended = count("SELECT count(*) FROM photos WHERE state IN ('done', 'failed')")
        differing = count(
            "SELECT count(*) FROM photos p WHERE state = 'done' AND faces <> (SELECT count(DISTINCT t.box) FROM "
            "templates t WHERE t.tenant_id = p.tenant_id AND t.image_id = p.id)"
        )
        repeated = count(
            "SELECT count(*) FROM (SELECT 1 FROM templates GROUP BY tenant_id, image_id, box HAVING count(*) > 1) AS t"
        )
        code, harmful = PhotoHarmful.code, list(self._harmful)
        found = "SELECT count(*) FROM photos WHERE code = $1 AND attempts <= $2 AND id = ANY($3)"
        isolated = count(found, code, MAX_ATTEMPTS, harmful)
        innocent = count("SELECT count(*) FROM photos WHERE state = 'failed' AND id <> ALL($1)", harmful)
        discarded = count("SELECT count(*) FROM discarded_objects")
        return [
            at_most("photos lost", 0, self._photos + HARMFUL - ended, "photos"),
            at_most("processed photos without exactly their faces", 0, differing, "photos"),
            at_most("faces stored twice", 0, repeated, "faces"),
            at_most("harmful photos not isolated within three tries", 0, HARMFUL - isolated, "photos"),
            at_most("other photos that failed", 0, innocent, "photos"),
            at_most("objects left in the spool", 0, self._stage.count_objects() + discarded, "objects"),
        ]

    def _count(self, statement: str, *values: Any) -> int:
        return int(self._stage.ask(statement, *values)[0][0])


def _has_started(log: Any) -> bool:
    return b'"worker_started"' in os.pread(log.fileno(), 1 << 16, 0)


def _enlarge(photo: bytes) -> bytes:
    """Return the photo so large that its analysis takes a second, within which the script kills the worker."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize((_HARMFUL_SIDE, _HARMFUL_SIDE)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-kills-", ignore_cleanup_errors=True) as directory:
        stage = Stage(Path(directory), Inputs(None, None))
        try:
            proof = Proof(stage, arguments.photos, arguments.seed)
            with stage.serving() as api:
                proof.send(api)
                started_at = time.monotonic()
                proof.process()
                seconds = time.monotonic() - started_at
                goals = proof.check()
        finally:
            stage.end()
    result = {
        "what": "SIGKILL of workers and restarts of PostgreSQL while an album is processed",
        **describe_run(),
        "pack": "synthetic",
        "photos": arguments.photos,
        "harmful_photos": HARMFUL,
        "kills": proof.kills,
        "restarts_of_postgresql": proof.restarts,
        "seconds": round(seconds, 1),
        "goals": goals,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if all(goal["held"] for goal in goals) else 1)


if __name__ == "__main__":
    main()
