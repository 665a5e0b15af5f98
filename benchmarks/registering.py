"""Measure what the search indexes cost registration: rows per second, compared with a table without these indexes.

The plain table has the same columns except for the code, and the same keys, foreign keys and counting triggers. It
takes no sequence numbers from the gallery. The owner fills both tables; each transaction inserts one row, or 500.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from app.persistence.connections.snapshots import encode_embedding, use_binary_embeddings
from benchmarks.face_embeddings import FaceLike
from benchmarks.galleries import RECOGNIZER, add_tenant, fill
from benchmarks.serving import percentile

ROUNDS, SINGLE, BATCH, BATCHES = 8, 100, 500, 2
STARTS = {"collection below 10,000, in the covering index": 500, "collection beyond 10,000, codes only": 20_000}

_COLUMNS = (
    "tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality, source"
)
_NEXT_SEQ = (
    "WITH gallery AS (INSERT INTO galleries (tenant_id, id, collection_id, recognizer, templates, last_seq) "
    "VALUES ($1, gen_random_uuid(), $2, $5, $6, $6) ON CONFLICT (tenant_id, collection_id, recognizer) DO UPDATE "
    "SET templates = galleries.templates + $6, last_seq = galleries.last_seq + $6 RETURNING id, last_seq) "
)
_GIVEN = "unnest($7::uuid[], $8::halfvec[]) WITH ORDINALITY AS given(id, embedding, ordinal)"
_ROW = "$1, given.id, $2, $3, {gallery}, {seq} - $6::bigint + given.ordinal, $5, given.embedding, 0.9, '{{}}', 'bench'"
VULTUS = (
    f"{_NEXT_SEQ} INSERT INTO templates ({_COLUMNS}) SELECT "
    + _ROW.format(gallery="coalesce(gallery.id, $4)", seq="gallery.last_seq")
    + f" FROM gallery, {_GIVEN}"
)
PLAIN = (
    f"INSERT INTO templates_plain ({_COLUMNS}) SELECT "
    + _ROW.format(gallery="$4::uuid", seq="(SELECT 0::bigint)")
    + f" FROM {_GIVEN}"
)


async def measure_registering(url: str, note: Callable[[str], None]) -> dict[str, Any]:
    """Return the median rows per second of alternating rounds and their ratio, for a small and a large collection.

    `url` is a database of its own, so that both tables have the same size.
    """
    connection = await asyncpg.connect(url)
    await use_binary_embeddings(connection)
    measured = {name: await _measure(connection, start, note) for name, start in STARTS.items()}
    await connection.close()
    return measured


async def _measure(connection: Any, start: int, note: Callable[[str], None]) -> dict[str, Any]:
    tenant_id = await add_tenant(connection, f"registering {uuid4().hex}")
    stored = await fill(connection, tenant_id, "growing", FaceLike(11).draw(start), note)
    collection_id = stored.gallery.collection_id
    gallery_id = await connection.fetchval("SELECT id FROM galleries WHERE collection_id = $1", collection_id)
    subject_id = await connection.fetchval("SELECT id FROM subjects WHERE collection_id = $1 LIMIT 1", collection_id)
    await _make_plain_table(connection, tenant_id)
    faces = FaceLike(12)

    async def store(statement: str, count: int) -> float:
        embeddings = [encode_embedding(row) for row in faces.draw(count)]
        ids = [uuid4() for _ in embeddings]
        started = time.perf_counter()
        async with connection.transaction():
            await connection.execute(
                statement, tenant_id, collection_id, subject_id, gallery_id, RECOGNIZER, count, ids, embeddings
            )
        return time.perf_counter() - started

    result: dict[str, Any] = {}
    for name, count, times in (("single", 1, SINGLE), ("batch of 500", BATCH, BATCHES)):
        rates: dict[str, list[float]] = {VULTUS: [], PLAIN: []}
        for _ in range(ROUNDS):
            for statement, measured in rates.items():
                measured.append(count * times / sum([await store(statement, count) for _ in range(times)]))
        vultus, plain = (percentile(rates[statement], 0.5) for statement in (VULTUS, PLAIN))
        result[name] = {
            "rows_per_s": round(vultus),
            "plain_rows_per_s": round(plain),
            "ratio": round(vultus / plain, 3),
        }
    await connection.execute("DROP TABLE templates_plain")
    return result


async def _make_plain_table(connection: Any, tenant_id: UUID) -> None:
    await connection.execute("DROP TABLE IF EXISTS templates_plain")
    await connection.execute(
        "CREATE TABLE templates_plain (LIKE templates INCLUDING DEFAULTS);"
        "ALTER TABLE templates_plain DROP COLUMN code;"
        "ALTER TABLE templates_plain ADD PRIMARY KEY (tenant_id, id);"
        "ALTER TABLE templates_plain ADD FOREIGN KEY (tenant_id, subject_id) REFERENCES subjects (tenant_id, id);"
        "ALTER TABLE templates_plain ADD FOREIGN KEY (tenant_id, gallery_id) REFERENCES galleries (tenant_id, id);"
        "CREATE INDEX ON templates_plain (tenant_id, subject_id, gallery_id, seq);"
        "CREATE TRIGGER count_in AFTER INSERT ON templates_plain REFERENCING NEW TABLE AS new_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_templates();"
    )
    # As many rows as the other table, so that the indexes of both have a realistic size.
    columns = (
        "tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality, "
        "source, created_at"
    )
    await connection.execute(
        f"INSERT INTO templates_plain ({columns}) SELECT {columns} FROM templates WHERE tenant_id = $1", tenant_id
    )
    await connection.execute("UPDATE tenant_usage SET templates = 0 WHERE tenant_id = $1", tenant_id)
