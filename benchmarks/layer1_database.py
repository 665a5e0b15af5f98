"""Layer 1, the database alone: how long a search takes by the size of the collection, as the service's login.

    .venv/bin/python -m benchmarks.layer1_database [--sizes 1000 10000] [--out FILE]

Embeddings are random unit vectors, one a subject: exact search compares all of them whatever they are, so its time
does not depend on how face-like they are (its recall is 1 by construction). One tenant holds the collection under test
beside nine others of 2,000 subjects. Times are whole transactions, the context of row-level security included.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import text

from app.matcher.pgvector_search import PgvectorSearch
from app.matcher.search import Gallery
from app.persistence.database import Database
from app.persistence.embedded import EmbeddedPostgres
from app.persistence.migration import migrate
from benchmarks.machine import describe_run
from benchmarks.serving import percentile

SAMPLES = 60
NEIGHBOURS, NEIGHBOUR_SIZE = 9, 2000
RECOGNIZER = "bench"


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Time searches by the size of the collection.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 5_000, 10_000, 20_000, 50_000])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        postgres = EmbeddedPostgres(Path(directory))
        postgres.start()
        measured = asyncio.run(_measure(postgres, arguments.sizes))
        postgres.stop()
    result = {
        "what": "one exact search, limit 5, milliseconds, one at a time; and five probes in one round trip",
        **describe_run(),
        "samples": SAMPLES,
        "sizes": measured,
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


async def _measure(postgres: EmbeddedPostgres, sizes: list[int]) -> dict[str, dict[str, float]]:
    address = await postgres.ensure_database()
    await asyncio.to_thread(migrate, address)
    owner, service = Database(address), Database(await postgres.ensure_service_login())
    rng = np.random.default_rng(0)
    tenant_id = uuid4()
    await _add_tenant(owner, tenant_id)
    for _ in range(NEIGHBOURS):
        await _fill(owner, tenant_id, NEIGHBOUR_SIZE, rng)
    measured = {}
    for size in sizes:
        gallery = Gallery(await _fill(owner, tenant_id, size, rng), RECOGNIZER)
        async with owner.autocommit() as connection:
            await connection.execute(text("VACUUM ANALYZE templates"))
            await connection.execute(text("VACUUM ANALYZE subjects"))
        one = [await _time(service, tenant_id, gallery, _unit(rng, 1)) for _ in range(SAMPLES)]
        five = [await _time(service, tenant_id, gallery, _unit(rng, 5)) for _ in range(SAMPLES // 4)]
        measured[str(size)] = {
            "p50": round(percentile(one, 0.5) * 1000, 1),
            "p95": round(percentile(one, 0.95) * 1000, 1),
            "five probes p50": round(percentile(five, 0.5) * 1000, 1),
        }
    await owner.close()
    await service.close()
    return measured


async def _time(service: Database, tenant_id: UUID, gallery: Gallery, probes: np.ndarray) -> float:
    started = time.perf_counter()
    async with service.transaction(tenant_id) as session:
        found = await PgvectorSearch(session, tenant_id).search(gallery, list(probes), 5)
    assert all(len(candidates) == 5 for candidates in found)
    return time.perf_counter() - started


async def _add_tenant(owner: Database, tenant_id: UUID) -> None:
    async with owner.engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES (:id, 'bench')"), {"id": tenant_id})
        await connection.execute(text("INSERT INTO tenant_usage (tenant_id) VALUES (:id)"), {"id": tenant_id})


async def _fill(owner: Database, tenant_id: UUID, size: int, rng: np.random.Generator) -> UUID:
    """A new collection with `size` subjects of one template each."""
    collection_id = uuid4()
    subjects = [uuid4() for _ in range(size)]
    async with owner.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO collections (tenant_id, id, name) VALUES (:tenant, :id, :name)"),
            {"tenant": tenant_id, "id": collection_id, "name": collection_id.hex},
        )
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.executemany(
            "INSERT INTO subjects (tenant_id, id, collection_id, subject) VALUES ($1, $2, $3, $4)",
            [(tenant_id, subject, collection_id, subject.hex) for subject in subjects],
        )
        await driver.executemany(
            "INSERT INTO templates (tenant_id, id, collection_id, subject_id, recognizer, embedding, detection_score, "
            "quality, source) VALUES ($1, $2, $3, $4, $5, $6::text::halfvec, 0.9, '{}', 'bench')",
            (
                (tenant_id, uuid4(), collection_id, subject, RECOGNIZER, "[" + ",".join(f"{v:.5g}" for v in row) + "]")
                for subject, row in zip(subjects, _unit(rng, size), strict=True)
            ),
        )
    return collection_id


def _unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, 512)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


if __name__ == "__main__":
    main()
