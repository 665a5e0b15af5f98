"""Provide a database that is kept between benchmark runs, with galleries filled directly by COPY."""

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

# Settings of a database server; the defaults of the embedded PostgreSQL use little memory.
SERVER = {"shared_buffers": "8GB", "max_wal_size": "16GB", "maintenance_work_mem": "2GB", "checkpoint_timeout": "30min"}


_TEMPLATE_COLUMNS = (
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
)


@dataclass(frozen=True)
class Stored:
    """A filled gallery: its embeddings by sequence number, and the name of the subject of each."""

    tenant_id: UUID
    gallery: Gallery
    embeddings: Embeddings
    subjects: Sequence[str]

    @property
    def size(self) -> int:
        """The number of templates."""
        return len(self.embeddings)


@dataclass
class BenchDatabase:
    """The embedded PostgreSQL with the settings of a server, migrated; `owner` and `service` are its addresses."""

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

    async def create_database(self, name: str) -> str:
        """Create and migrate another database of this server; returns the owner's address."""
        url = await self._postgres.ensure_database(name)
        await asyncio.to_thread(migrate, url)
        return url

    async def connect(self) -> Any:
        """Connect as the owner, who bypasses row-level security; embeddings travel in binary format."""
        connection = await asyncpg.connect(self.owner)
        await use_binary_embeddings(connection)
        return connection


async def add_tenant(connection: Any, name: str) -> UUID:
    """Return the tenant of this name; creates it if it does not exist."""
    existing: UUID | None = await connection.fetchval("SELECT id FROM tenants WHERE name = $1", name)
    if existing is not None:
        return existing
    tenant_id = uuid4()
    await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant_id, name)
    await connection.execute("INSERT INTO tenant_usage (tenant_id) VALUES ($1)", tenant_id)
    return tenant_id


async def fill(
    connection: Any, tenant_id: UUID, name: str, embeddings: Embeddings, progress: Callable[[str], None]
) -> Stored:
    """Create a collection with one subject per embedding.

    An existing collection of the same name and size is used unchanged.
    """
    size = len(embeddings)
    subjects = [f"s{index:07d}" for index in range(size)]
    existing = await connection.fetchval(
        "SELECT c.id FROM collections c JOIN galleries g ON g.tenant_id = c.tenant_id AND g.collection_id = c.id "
        "WHERE c.tenant_id = $1 AND c.name = $2 AND g.templates = $3",
        tenant_id,
        name,
        size,
    )
    if existing is not None:
        return Stored(tenant_id, Gallery(existing, RECOGNIZER), embeddings, subjects)
    collection_id, gallery_id = await _add_collection(connection, tenant_id, name, size)
    stored = Stored(tenant_id, Gallery(collection_id, RECOGNIZER), embeddings, subjects)
    for start in range(0, size, BATCH):
        rows = range(start, min(start + BATCH, size))
        await _copy_rows(connection, stored, gallery_id, rows)
        if size > BATCH:
            progress(f"{name}: {rows[-1] + 1:,} of {size:,}")
    return stored


async def _add_collection(connection: Any, tenant_id: UUID, name: str, size: int) -> tuple[UUID, UUID]:
    """Insert a collection and its gallery of `size` templates; returns their ids."""
    collection_id, gallery_id = uuid4(), uuid4()
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
    return collection_id, gallery_id


async def _copy_rows(connection: Any, stored: Stored, gallery_id: UUID, rows: range) -> None:
    """Insert the subjects and templates of these rows."""
    tenant_id, collection_id = stored.tenant_id, stored.gallery.collection_id
    ids = {row: uuid4() for row in rows}
    await connection.copy_records_to_table(
        "subjects",
        columns=["tenant_id", "id", "collection_id", "subject"],
        records=[(tenant_id, ids[row], collection_id, stored.subjects[row]) for row in rows],
    )
    await connection.copy_records_to_table(
        "templates",
        columns=_TEMPLATE_COLUMNS,
        records=[
            (
                tenant_id,
                uuid4(),
                collection_id,
                ids[row],
                gallery_id,
                row + 1,
                RECOGNIZER,
                encode_embedding(stored.embeddings[row]),
                0.9,
                "{}",
                "bench",
            )
            for row in rows
        ],
    )


def skewed_sizes(collections: int, templates: int) -> list[int]:
    """Return the sizes of many collections, which add up to `templates`: a few large ones, most of 10 to 1,000.

    A million templates give 3 of 100,000, 4 of 50,000, 10 of 20,000 and 10 of 10,000; the rest are log-uniform.
    """
    scale = templates / 1_000_000
    large = [100_000] * 3 + [50_000] * 4 + [20_000] * 10 + [10_000] * 10
    sizes = [max(10, int(size * scale)) for size in large]
    small = np.exp(np.random.default_rng(1).uniform(np.log(10), np.log(1_000), collections - len(sizes)))
    small = np.clip(small * (templates - sum(sizes)) / small.sum(), 10, None).astype(int)
    sizes += small.tolist()
    sizes[-1] += max(0, templates - sum(sizes))
    return sizes
