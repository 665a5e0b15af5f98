"""Measure how long a decision takes in the console's review, with many unknown faces in the album.

    python -m benchmarks.console.review [--faces N] [--decisions N] [--out [FILE]]

An album with 100,000 unknown faces, of which some are to be decided, is reviewed in Debian's Chromium: one key a
decision, each after the answer to the one before. A decision lasts from the key to the answer of the API, as the
browser sees both; the next face is in focus long before. The worker is idle.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page

from app.persistence.connections.database import Database
from app.settings import Settings
from app.wiring.search import build_search
from benchmarks.album_galleries import Crowd, fill_album
from benchmarks.console.browser import SECRET, create_tenant, put_on_plan, signed_in
from benchmarks.galleries import BenchDatabase
from benchmarks.goals import at_most
from benchmarks.machine import describe_run
from benchmarks.serving import percentile, started_server
from benchmarks.subject_search import KEYRING

RESULT = Path(__file__).parent.parent / "results" / "console_review.json"
GOAL_MS = 150
_REVIEW = """
UPDATE sightings SET state = 'review', similarity = 0.4, false_match_rate = 0.01, subject_id = (
    SELECT s.id FROM subjects s JOIN collections c ON c.tenant_id = s.tenant_id AND c.id = s.collection_id
    WHERE s.tenant_id = sightings.tenant_id AND c.name = 'people' LIMIT 1)
WHERE face_id IN (SELECT face_id FROM sightings ORDER BY face_id LIMIT $1)
"""


async def prepare(database: BenchDatabase, faces: int, to_review: int) -> None:
    """Fill the album of the tenant that has signed up."""
    connection = await database.connect()
    service = Database(database.service, pool_size=4)
    engine = build_search(Settings(), database.service, KEYRING)
    await fill_album(connection, service, engine.protector, Crowd(faces), note)
    await connection.execute(_REVIEW, to_review)
    await connection.execute("VACUUM ANALYZE sightings")
    await engine.close()
    await service.close()
    await connection.close()


def sign_up(base: str, database: BenchDatabase, faces: int) -> str:
    """Create the tenant that the album goes to, without collections; returns the admin's email."""
    email, headers = create_tenant(base, f"album of {faces}")
    asyncio.run(put_on_plan(database.owner))
    httpx.delete(f"{base}/api/v1/collections/default", headers=headers).raise_for_status()
    return email


def decide(page: Page, address: str, key: str, count: int) -> dict[str, Any]:
    """Open a queue and decide its faces by a key; return the times."""
    started = time.perf_counter()
    page.goto(address)
    page.locator(".sighting:focus").wait_for()
    opened = time.perf_counter() - started
    times = list[float]()
    for _ in range(count):
        started = time.perf_counter()
        with page.expect_response("**/sightings/decide") as answer:
            page.keyboard.press(key)
        if not answer.value.ok:
            raise SystemExit(f"a decision was refused: {answer.value.text()}")
        answer.value.finished()
        times.append(1000 * (time.perf_counter() - started))
        page.locator(".sighting:focus").wait_for()
    return {
        "decisions": count,
        "page_opened_s": round(opened, 2),
        "p50_ms": round(percentile(times, 0.5), 1),
        "p95_ms": round(percentile(times, 0.95), 1),
        "max_ms": round(max(times), 1),
    }


def review(base: str, email: str, count: int) -> dict[str, Any]:
    """Sign in, reject suggestions and ignore unknown faces; return the times of both."""
    with signed_in(base, email) as page:
        return {
            "rejected": decide(page, f"{base}/console/review?album=album", "r", count),
            "ignored": decide(page, f"{base}/console/review?album=album&state=pending", "i", count),
        }


def note(message: str) -> None:
    """Print progress to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print JSON; exits with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--decisions", type=int, default=200, help="of each kind")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-console-") as directory, BenchDatabase(Path(directory)) as database:
        env = {
            "VULTUS_DATABASE_URL": database.service,
            "VULTUS_SECRET_KEY": SECRET,
            "VULTUS_PUBLIC_RATE": "100000/minute",
            "VULTUS_ALBUM_WORKER": "false",
        }
        with started_server(Path(directory), workers=1, **env) as (base, _):
            email = sign_up(base, database, arguments.faces)
            asyncio.run(prepare(database, arguments.faces, arguments.decisions + 50))
            measured = review(base, email, arguments.decisions)
    about = f"with {arguments.faces:,} unknown faces"
    goals = [
        at_most(f"a face {kind} by a key {about}, p95", GOAL_MS, one["p95_ms"], "ms") for kind, one in measured.items()
    ]
    result = {
        "what": "decisions by keys in the console's review, in Chromium",
        **describe_run(),
        "faces": arguments.faces,
        **measured,
        "goals": goals,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if all(goal["held"] for goal in goals) else 1)


if __name__ == "__main__":
    main()
