"""Implement two usual designs for comparison: arrays compared in a Python loop, and one HNSW index for all tenants.

The second stores the embeddings of all tenants as vector(512) in one table. It has an HNSW index with pgvector's
defaults (m=16, ef_construction=64, ef_search=40) and filters by tenant and collection. It is measured without and with
iterative scans, and with a single collection in the table.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.persistence.connections.snapshots import encode_embedding
from benchmarks.face_embeddings import Embeddings
from benchmarks.galleries import BATCH, Stored

LIMIT = 10


async def fill_array_table(connection: Any, name: str, embeddings: Embeddings) -> None:
    """Create and fill `ref_array_NAME`, with an id and an array of doubles per row."""
    if await connection.fetchval("SELECT to_regclass($1)", f"ref_array_{name}") is None:
        await connection.execute(f"CREATE TABLE ref_array_{name} (subject text, embedding double precision[])")
        records = [(f"s{index:07d}", row.tolist()) for index, row in enumerate(embeddings)]
        await connection.copy_records_to_table(f"ref_array_{name}", records=records)


async def search_array_table(connection: Any, name: str, probe: Embeddings) -> list[str]:
    """Fetch all rows into Python, compute each cosine in a loop and sort."""
    rows = await connection.fetch(f"SELECT subject, embedding FROM ref_array_{name}")
    values = probe.tolist()
    length = math.sqrt(sum(value * value for value in values))
    scored = []
    for subject, embedding in rows:
        product = sum(left * right for left, right in zip(values, embedding, strict=True))
        scored.append((product / (length * math.sqrt(sum(value * value for value in embedding))), subject))
    scored.sort(reverse=True)
    return [subject for _, subject in scored[:LIMIT]]


async def fill_shared_table(
    connection: Any, name: str, galleries: Sequence[Stored], progress: Callable[[str], None]
) -> None:
    """Create and fill `ref_NAME`, one table for all galleries with one HNSW index."""
    if await connection.fetchval("SELECT to_regclass($1)", f"ref_{name}_hnsw") is not None:
        return
    await connection.execute(f"DROP TABLE IF EXISTS ref_{name}")
    await connection.execute(
        f"CREATE TABLE ref_{name} (tenant_id uuid, collection_id uuid, subject text, embedding halfvec(512))"
    )
    for stored in galleries:
        for start in range(0, stored.size, BATCH):
            records = [
                (
                    stored.tenant_id,
                    stored.gallery.collection_id,
                    stored.subjects[row],
                    encode_embedding(stored.embeddings[row]),
                )
                for row in range(start, min(start + BATCH, stored.size))
            ]
            await connection.copy_records_to_table(f"ref_{name}", records=records)
    progress(f"reference table {name}: loaded; building its index")
    # The design uses vector; halfvec only makes loading faster.
    await connection.execute(f"ALTER TABLE ref_{name} ALTER embedding TYPE vector(512)")
    await connection.execute(f"CREATE INDEX ref_{name}_filter ON ref_{name} (tenant_id, collection_id)")
    await connection.execute("SET maintenance_work_mem = '5GB'; SET max_parallel_maintenance_workers = 2")
    await connection.execute(
        f"CREATE INDEX ref_{name}_hnsw ON ref_{name} USING hnsw (embedding vector_cosine_ops) "
        "WITH (m = 16, ef_construction = 64)"
    )
    await connection.execute(f"ANALYZE ref_{name}")


async def search_shared_table(
    connection: Any, name: str, stored: Stored, probe: Embeddings, *, iterative: bool
) -> list[str]:
    """Search with the usual filter and order; the planner chooses the index."""
    async with connection.transaction():
        if iterative:
            await connection.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
        rows = await connection.fetch(
            f"SELECT subject FROM ref_{name} WHERE tenant_id = $1 AND collection_id = $2 "
            f"ORDER BY embedding <=> $3::real[]::vector(512) LIMIT {LIMIT}",
            stored.tenant_id,
            stored.gallery.collection_id,
            probe.tolist(),
        )
    return [row["subject"] for row in rows]


def true_ranks(embeddings: Embeddings, probes: Embeddings, limit: int) -> list[list[int]]:
    """Return the row indices of the `limit` most similar embeddings per probe, by exact comparison in this process."""
    half = embeddings.astype(np.float16)
    scores = np.full((len(probes), 0), 0.0, np.float32)
    rows = np.zeros((len(probes), 0), np.int64)
    for start in range(0, len(half), 100_000):
        block = probes @ half[start : start + 100_000].astype(np.float32).T
        keep = min(limit, block.shape[1])
        top = np.argpartition(block, -keep, axis=1)[:, -keep:]
        scores = np.concatenate([scores, np.take_along_axis(block, top, axis=1)], axis=1)
        rows = np.concatenate([rows, top + start], axis=1)
    order = np.argsort(-scores, axis=1)[:, :limit]
    ranked: list[list[int]] = np.take_along_axis(rows, order, axis=1).tolist()
    return ranked
