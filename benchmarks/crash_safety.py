"""Kill the server at random moments while clients register and erase people, and check the data afterwards.

    make prove-crashes
    python -m benchmarks.crash_safety [--kills N] [--seed N] [--out [FILE]]

Four clients register people with two photos per call and erase them again, against `vultus serve` with the synthetic
pack. After 0.05 to 0.8 seconds all processes of the server receive SIGKILL, every fifth time those of PostgreSQL too.
Then the script checks:

- Every person has the faces of complete calls, or does not exist.
- For every person that exists, the last entry of the audit trail is a registration; for the others, an erasure.
- The audit trail verifies.

Exits with 1 if a check fails.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from sqlalchemy import text

from app.errors import DatabaseUnavailable
from app.persistence.connections.database import Database
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.persistence.repositories.audit import AuditRepository
from app.security.audit_chain import REFERENCE_PURPOSE, refer_to_subject
from app.security.keyring import Keyring
from app.services.audit.verification import AuditVerifier
from benchmarks.machine import describe_run
from benchmarks.serving import drawn_photo, sign_up, started_server

RESULT = Path(__file__).parent / "results" / "crash_safety.json"
SECRET = "a secret of this proof only, 32 bytes or more"
CLIENTS, PEOPLE, PHOTOS = 4, 5, 2
_RATES = dict.fromkeys(("register", "delete", "read"), "10000000/minute")


class Proof:
    """Runs one database and many servers that are killed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._rng = random.Random(seed)
        self._postgres = EmbeddedPostgres(directory)
        self._keyring = Keyring([SECRET.encode()])
        self._photos = [drawn_photo(seed) for seed in range(1, PHOTOS + 1)]
        self.calls = 0

    def prepare(self) -> None:
        """Start the database, create a tenant and sign in as its admin."""
        self._postgres.start()
        self._admin = asyncio.run(self._postgres.ensure_database())
        migrate(self._admin)
        with self._serving() as (base, _):
            self._headers = sign_up(f"{base}/api/v1", self._admin, _RATES)

    def kill_once(self, *, with_postgres: bool) -> dict[str, Any]:
        """Use a server for a random time, kill it and check the data; returns the time and the flaws found."""
        after_s = self._rng.uniform(0.05, 0.8)
        done = threading.Event()
        with self._serving() as (base, process):
            clients = [
                threading.Thread(target=self._use, args=(base, done, self._rng.random())) for _ in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            time.sleep(after_s)
            _kill(process, self._directory if with_postgres else None)
            done.set()
            for client in clients:
                client.join()
        flaws = asyncio.run(self._check())
        return {"after_s": round(after_s, 3), "postgres_too": with_postgres, "flaws": flaws}

    def end(self) -> None:
        with suppress(OSError):
            self._postgres.stop()

    def _use(self, base: str, done: threading.Event, seed: float) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=f"{base}/api/v1", headers=self._headers, timeout=5) as client:
            while not done.is_set():
                person = f"p{rng.randrange(PEOPLE)}"
                with suppress(httpx.HTTPError):
                    if rng.random() < 0.5:
                        files = [("images", ("a.jpg", photo, "image/jpeg")) for photo in self._photos]
                        path = f"/collections/default/subjects/{person}"
                        if client.get(path).status_code == 404:
                            client.post("/register", data={"subject": person}, files=files)
                    else:
                        client.delete(f"/collections/default/subjects/{person}")
                    self.calls += 1

    async def _check(self) -> list[str]:
        database = Database(self._admin, pool_size=1)
        await _wait_for_recovery(database)
        try:
            async with database.transaction(as_operator=True) as session:
                tenant_id = UUID(str(await session.scalar(text("SELECT id FROM tenants"))))
            async with database.transaction(tenant_id) as session:
                rows = await session.execute(
                    text(
                        "SELECT s.subject, count(t.id) AS faces FROM subjects s LEFT JOIN templates t "
                        "ON t.tenant_id = s.tenant_id AND t.subject_id = s.id GROUP BY s.subject"
                    )
                )
                faces = {row.subject: row.faces for row in rows}
                last = await self._last_actions(session)
            async with database.transaction(tenant_id) as session:
                verdict = await AuditVerifier(AuditRepository(session, tenant_id), self._keyring).verify()
        finally:
            await database.close()
        _, key = self._keyring.current(REFERENCE_PURPOSE)
        flaws = [f"{flaw.kind} entry {flaw.seq}" for flaw in verdict.flaws]
        # Two clients may register a person at the same time; each photo counts once. A part of a call is a flaw.
        flaws += [f"{name} has {count} faces" for name, count in faces.items() if count != PHOTOS]
        for index in range(PEOPLE):
            name = f"p{index}"
            last_action = last.get(refer_to_subject(key, tenant_id, "default", name), "subject.erased")
            if (last_action == "faces.registered") != (name in faces):
                state = "exists" if name in faces else "does not exist"
                flaws.append(f"{name} {state}, but the last entry of the trail is {last_action}")
        return flaws

    @staticmethod
    async def _last_actions(session: Any) -> dict[str, str]:
        rows = await session.execute(text("SELECT target, action FROM audit_entries ORDER BY seq"))
        return {row.target: row.action for row in rows}

    def _serving(self) -> AbstractContextManager[tuple[str, "subprocess.Popen[bytes]"]]:
        return started_server(self._directory, VULTUS_SECRET_KEY=SECRET, VULTUS_RETENTION_SWEEP="false")


def _kill(process: "subprocess.Popen[bytes]", directory: Path | None) -> None:
    """Kill the server and, with a data directory, PostgreSQL's child processes; its first process then recovers."""
    victims = [process.pid]
    if directory is not None:
        (pid_file,) = directory.rglob("postmaster.pid")
        postmaster = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        victims += [child.pid for child in postmaster.children()]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


async def _wait_for_recovery(database: Database) -> None:
    """Wait until PostgreSQL answers again."""
    for _ in range(300):
        try:
            await database.revision()
        except DatabaseUnavailable:
            await asyncio.sleep(0.1)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-crash-", ignore_cleanup_errors=True) as directory:
        proof = Proof(Path(directory), arguments.seed)
        proof.prepare()
        try:
            kills = []
            for index in range(arguments.kills):
                kills.append(proof.kill_once(with_postgres=index % 5 == 4))
                print(f"kill {index + 1}: after {kills[-1]['after_s']} s, flaws: {kills[-1]['flaws'] or 'none'}")
        finally:
            proof.end()
    flaws = sum(len(kill["flaws"]) for kill in kills)
    result = {
        "what": "SIGKILL at random moments while clients register and erase people",
        **describe_run(),
        "clients": CLIENTS,
        "calls_answered_or_cut_off": proof.calls,
        "kills": len(kills),
        "flaws": flaws,
        "each": kills,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(kills)} kills, {proof.calls} calls, {flaws} flaws")
    sys.exit(1 if flaws else 0)


if __name__ == "__main__":
    main()
