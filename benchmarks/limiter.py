"""Measure the rate limiter alone, in this process, with counters in PostgreSQL and in Redis.

.venv/bin/python -m benchmarks.limiter [--redis redis://...] [--out FILE]
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from app.permissions import Permission, Plan, Principal
from app.persistence.connections.database import Database
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.server.rate_limits import RateLimiter
from benchmarks.machine import describe_run
from benchmarks.serving import percentile

SAMPLES = 2000


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Time the rate limiter.")
    parser.add_argument("--redis")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        postgres = EmbeddedPostgres(Path(directory))
        postgres.start()
        address = asyncio.run(postgres.ensure_database())
        migrate(address)
        measured = {"postgresql": asyncio.run(_measure(address, None))}
        if arguments.redis:
            measured["redis"] = asyncio.run(_measure(address, arguments.redis))
        postgres.stop()
    result = {
        "what": "one rate limit check, milliseconds, one at a time",
        **describe_run(),
        "samples": SAMPLES,
        "ms": {
            name: {f"p{share * 100:g}": round(percentile(values, share) * 1000, 2) for share in (0.5, 0.95, 0.99)}
            for name, values in measured.items()
        },
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


async def _measure(address: str, redis_url: str | None) -> list[float]:
    database = Database(address)
    limiter = RateLimiter(database, redis_url, public_rate="10/minute")
    plan = Plan("bench", {"recognize": "10000000/minute"})
    principals = [Principal(uuid4(), frozenset(Permission), plan) for _ in range(20)]
    durations = []
    for index in range(SAMPLES + 100):
        started = time.perf_counter()
        await limiter.admit_principal(principals[index % 20], Permission.RECOGNIZE)
        durations.append(time.perf_counter() - started)
    await database.close()
    return durations[100:]


if __name__ == "__main__":
    main()
