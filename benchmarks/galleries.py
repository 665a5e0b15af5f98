"""A database for benchmarks, kept between runs, and galleries filled straight by COPY."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np

from app.matcher.search import Gallery
from app.persistence.connections.snapshots import encode_embedding, use_binary_embeddings
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from benchmarks.face_embeddings import Embeddings

RECOGNIZER = "bench"
BATCH = 10_000

# As on a database server with memory; the embedded one is modest by default.
SERVER = {"shared_buffers": "8GB", "max_wal_size": "16GB", "maintenance_work_mem": "2GB", "checkpoint_timeout": "30min"}


@dataclass(frozen=True)
class Stored:
    """A filled gallery: the embeddings in their order, and the name of each one's subject."""

    tenant_id: UUID
    gallery: Gallery
    embeddings: Embeddings
    subjects: Sequence[str]

    @property
    def size(self) -> int:
        """Templates."""
        return len(self.embeddings)


@dataclass
class BenchDatabase:
    """The embedded PostgreSQL with the settings of a server, migrated; its owner's and the service's addresses."""

    directory: Path

    def __enter__(self) -> "BenchDatabase":
        self._postgres = EmbeddedPostgres(self.directory, settings=SERVER)
        self._postgres.start()
        self.owner = asyncio.run(self._postgres.ensure_database())
        migrate(self.owner)
        self.service = asyncio.run(self._postgres.ensure_service_login())
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._postgres.stop()

    async def another(self, name: str) -> str:
        """Another database of the server, migrated; its owner's address."""
        url = await self._postgres.ensure_database(name)
        await asyncio.to_thread(migrate, url)
        return url

    async def connect(self) -> Any:
        """A connection of the owner's, past row-level security, with embeddings in binary."""
        connection = await asyncpg.connect(self.owner)
        await use_binary_embeddings(connection)
        return connection


async def add_tenant(connection: Any, name: str) -> UUID:
    """A tenant of this name, the one there is or a new one."""
    known: UUID | None = await connection.fetchval("SELECT id FROM tenants WHERE name = $1", name)
    if known is not None:
        return known
    tenant_id = uuid4()
    await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant_id, name)
    await connection.execute("INSERT INTO tenant_usage (tenant_id) VALUES ($1)", tenant_id)
    return tenant_id


async def fill(
    connection: Any, tenant_id: UUID, name: str, embeddings: Embeddings, progress: Callable[[str], None]
) -> Stored:
    """A collection with a subject for each embedding; one of this name is taken as it is."""
    collection_id, gallery_id, size = uuid4(), uuid4(), len(embeddings)
    subjects = [f"s{index:07d}" for index in range(size)]
    known = await connection.fetchval(
        "SELECT c.id FROM collections c JOIN galleries g ON g.tenant_id = c.tenant_id AND g.collection_id = c.id "
        "WHERE c.tenant_id = $1 AND c.name = $2 AND g.templates = $3",
        tenant_id,
        name,
        size,
    )
    if known is not None:
        return Stored(tenant_id, Gallery(known, RECOGNIZER), embeddings, subjects)
    await connection.execute(
        "INSERT INTO collections (tenant_id, id, name) VALUES ($1, $2, $3)", tenant_id, collection_id, name
    )
    await connection.execute(
        "INSERT INTO galleries (tenant_id, id, collection_id, recognizer, templates, last_seq) "
        "VALUES ($1, $2, $3, $4, $5, $5)",
        tenant_id,
        gallery_id,
        collection_id,
        RECOGNIZER,
        size,
    )
    for start in range(0, size, BATCH):
        rows = range(start, min(start + BATCH, size))
        ids = [uuid4() for _ in rows]
        await connection.copy_records_to_table(
            "subjects",
            columns=["tenant_id", "id", "collection_id", "subject"],
            records=[(tenant_id, own, collection_id, subjects[row]) for own, row in zip(ids, rows, strict=True)],
        )
        await connection.copy_records_to_table(
            "templates",
            columns=[
                "tenant_id",
                "id",
                "collection_id",
                "subject_id",
                "gallery_id",
                "seq",
                "recognizer",
                "embedding",
                "detection_score",
                "quality",
                "source",
            ],
            records=[
                (
                    tenant_id,
                    uuid4(),
                    collection_id,
                    own,
                    gallery_id,
                    row + 1,
                    RECOGNIZER,
                    encode_embedding(embeddings[row]),
                    0.9,
                    "{}",
                    "bench",
                )
                for own, row in zip(ids, rows, strict=True)
            ],
        )
        if size > BATCH:
            progress(f"{name}: {rows[-1] + 1:,} of {size:,}")
    return Stored(tenant_id, Gallery(collection_id, RECOGNIZER), embeddings, subjects)


def skewed_sizes(collections: int, templates: int) -> list[int]:
    """Sizes of many collections, a few large and most of 10 to 1,000, which add up to the number of templates.

    Of a million: 3 of 100,000, 4 of 50,000, 10 of 20,000, 10 of 10,000; the rest log-uniform.
    """
    scale = templates / 1_000_000
    large = [100_000] * 3 + [50_000] * 4 + [20_000] * 10 + [10_000] * 10
    sizes = [max(10, int(size * scale)) for size in large]
    small = np.exp(np.random.default_rng(1).uniform(np.log(10), np.log(1_000), collections - len(sizes)))
    small = np.clip(small * (templates - sum(sizes)) / small.sum(), 10, None).astype(int)
    sizes += small.tolist()
    sizes[-1] += max(0, templates - sum(sizes))
    return sizes
