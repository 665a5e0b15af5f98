"""What the search's indexes cost those who register: rows a second beside a table without any of them.

The plain table has the same columns but the code, the same keys, foreign keys and counting triggers, and takes no
places in a gallery. Both are filled by the owner, each registration in a transaction of its own: one row, or 500.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from app.persistence.search_pool import encode_embedding
from benchmarks.face_embeddings import FaceLike
from benchmarks.galleries import RECOGNIZER, add_tenant, fill
from benchmarks.serving import percentile

ROUNDS, SINGLE, BATCH, BATCHES = 8, 100, 500, 2
STARTS = {"collection below 10,000, in the covering index": 500, "collection beyond 10,000, codes only": 10_000}

_PLACES = (
    "INSERT INTO galleries (tenant_id, id, collection_id, recognizer, templates, last_seq) "
    "VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (tenant_id, collection_id, recognizer) DO UPDATE "
    "SET templates = galleries.templates + $5, last_seq = galleries.last_seq + $5 RETURNING id, last_seq"
)
_COLUMNS = (
    "tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality, source"
)
_INSERT = f"INSERT INTO {{table}} ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0.9, '{{{{}}}}', 'bench')"


async def measure_registering(connection: Any, note: Callable[[str], None]) -> dict[str, Any]:
    """Median rows a second of rounds in turn, and their ratio; for a small collection and a large one."""
    return {name: await _measure(connection, start, note) for name, start in STARTS.items()}


async def _measure(connection: Any, start: int, note: Callable[[str], None]) -> dict[str, Any]:
    tenant_id = await add_tenant(connection, f"registering {uuid4().hex}")
    stored = await fill(connection, tenant_id, "growing", FaceLike(11).draw(start), note)
    gallery_id = await connection.fetchval(
        "SELECT id FROM galleries WHERE collection_id = $1", stored.gallery.collection_id
    )
    subject_id = await connection.fetchval(
        "SELECT id FROM subjects WHERE collection_id = $1 LIMIT 1", stored.gallery.collection_id
    )
    await _make_plain_table(connection, tenant_id)
    faces = FaceLike(12)
    place = 10**9  # of rows in the plain table, which takes none

    async def store(table: str, count: int) -> None:
        nonlocal place
        embeddings = [encode_embedding(row) for row in faces.draw(count)]
        started.append(time.perf_counter())
        async with connection.transaction():
            first = place
            if table == "templates":
                _, last = await connection.fetchrow(
                    _PLACES, tenant_id, uuid4(), stored.gallery.collection_id, RECOGNIZER, count
                )
                first = last - count + 1
            await connection.executemany(
                _INSERT.format(table=table),
                [
                    (tenant_id, uuid4(), stored.gallery.collection_id, subject_id, gallery_id, first + index,
                     RECOGNIZER, embedding)
                    for index, embedding in enumerate(embeddings)
                ],
            )  # fmt: skip
        took.append(time.perf_counter() - started[-1])
        place += count

    started: list[float] = []
    took: list[float] = []
    result: dict[str, Any] = {}
    for name, count, times in (("single", 1, SINGLE), ("batch of 500", BATCH, BATCHES)):
        rates: dict[str, list[float]] = {"templates": [], "templates_plain": []}
        for _ in range(ROUNDS):
            for table, own in rates.items():
                took.clear()
                for _ in range(times):
                    await store(table, count)
                own.append(count * times / sum(took))
        ours, plain = (percentile(rates[table], 0.5) for table in ("templates", "templates_plain"))
        result[name] = {"rows_per_s": round(ours), "plain_rows_per_s": round(plain), "ratio": round(ours / plain, 3)}
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
    # As full as the other, so that both have grown-up indexes.
    columns = (
        "tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality, "
        "source, created_at"
    )
    await connection.execute(
        f"INSERT INTO templates_plain ({columns}) SELECT {columns} FROM templates WHERE tenant_id = $1", tenant_id
    )
    await connection.execute("UPDATE tenant_usage SET templates = 0 WHERE tenant_id = $1", tenant_id)
