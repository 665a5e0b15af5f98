"""HNSW graphs of large galleries: partial indexes, built concurrently with searches, for the operator's login only.

A graph covers the sequence numbers up to the newest one at the start of its build; the index condition says so. Later
registrations are outside the condition, so they never wait for a graph.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError

from app.errors import DatabaseNotReady, GraphsBusy
from app.persistence.connections.database import Database
from app.persistence.models import CollectionModel, GalleryModel, TenantModel

CONNECTIONS, CONSTRUCTION_BREADTH = 24, 200
"""pgvector's m and ef_construction; its defaults of 16 and 64 lose matches (PERFORMANCE.md)."""

_BYTES_PER_TEMPLATE = 2_048
_MIN_MEMORY_MB = 64
_LOCK = 0x6772617068  # "graph"; differs from the migrations' lock
_NAME = re.compile(r"graph_[0-9a-f]{32}_\d+_[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class GalleryRecord:
    """A gallery with its names and graph, across tenants."""

    tenant_id: UUID
    tenant: str
    collection_id: UUID
    collection: str
    recognizer: str
    id: UUID
    templates: int
    last_seq: int
    graph: str | None
    graph_upto: int | None
    graph_recall: float | None
    graph_checked_at: datetime | None
    graph_trusted: bool


class GraphDirectory:
    """All galleries of all tenants and their graphs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Lock building and dropping of graphs for the block; raises `GraphsBusy` if another process has the lock."""
        async with self._database.autocommit() as connection:
            if not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
                raise GraphsBusy("Another process is building or dropping search graphs; try again later.")
            try:
                yield
            finally:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})

    async def list_galleries(self, limit: int | None = None) -> list[GalleryRecord]:
        """List every gallery of every tenant, or up to `limit`, largest first."""
        statement = (
            select(
                GalleryModel.tenant_id,
                TenantModel.name.label("tenant"),
                GalleryModel.collection_id,
                CollectionModel.name.label("collection"),
                GalleryModel.recognizer,
                GalleryModel.id,
                GalleryModel.templates,
                GalleryModel.last_seq,
                GalleryModel.graph,
                GalleryModel.graph_upto,
                GalleryModel.graph_recall,
                GalleryModel.graph_checked_at,
                GalleryModel.graph_trusted,
            )
            .join(TenantModel, TenantModel.id == GalleryModel.tenant_id)
            .join(CollectionModel, CollectionModel.id == GalleryModel.collection_id)
            .order_by(GalleryModel.templates.desc(), GalleryModel.id)
            .limit(limit)
        )
        async with self._database.transaction(as_operator=True) as session:
            return [GalleryRecord(**row) for row in (await session.execute(statement)).mappings()]

    async def build(self, gallery: GalleryRecord, condition: str, *, through_seq: int, memory_mb: int) -> str:
        """Build a graph over the templates that satisfy `condition` and return its name.

        Takes minutes per million templates. Searches, registrations and erasures continue, and the gallery's current
        graph stays in use. Raises `DatabaseNotReady`.
        """
        name = f"graph_{gallery.id.hex}_{through_seq:d}_{token_hex(2)}"
        memory_mb = max(_MIN_MEMORY_MB, min(memory_mb, gallery.templates * _BYTES_PER_TEMPLATE // 2**20))
        async with self._database.autocommit() as connection:
            await connection.execute(text("SELECT set_config('statement_timeout', '0', false)"))
            await connection.execute(
                text("SELECT set_config('maintenance_work_mem', :memory, false)"), {"memory": f"{memory_mb}MB"}
            )
            try:
                await connection.execute(
                    text(
                        f"CREATE INDEX CONCURRENTLY {name} ON templates USING hnsw (embedding halfvec_cosine_ops) "
                        f"WITH (m = {CONNECTIONS}, ef_construction = {CONSTRUCTION_BREADTH}) WHERE {condition}"
                    )
                )
            except DBAPIError as exc:
                reason = getattr(exc.orig, "sqlstate", None)
                raise DatabaseNotReady(f"The graph {name} could not be built (SQLSTATE {reason}).") from exc
            finally:
                await connection.execute(text("RESET ALL"))
        return name

    async def set_graph(self, gallery: GalleryRecord, name: str, through_seq: int) -> None:
        """Set the gallery's graph; searches use it only after `update_recall` marks it as trusted."""
        await self._update(
            gallery, graph=name, graph_upto=through_seq, graph_checked_at=None, graph_recall=None, graph_trusted=False
        )

    async def update_recall(self, gallery: GalleryRecord, recall: float, *, is_trusted: bool) -> None:
        """Store the recall (0..1) that the recall monitor measured; searches do not use an untrusted graph."""
        await self._update(gallery, graph_recall=recall, graph_checked_at=func.now(), graph_trusted=is_trusted)

    async def clear_graph(self, gallery: GalleryRecord) -> None:
        """Detach the gallery's graph from searches; `drop_unused` drops the index."""
        await self._update(gallery, graph=None, graph_upto=None, graph_recall=None, graph_trusted=False)

    async def drop_unused(self) -> list[str]:
        """Drop indexes that no gallery uses, including incomplete ones, and return their names.

        Drops nothing while any index is being built in this database.
        """
        statement = text(
            "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'templates' "
            "AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index WHERE datname = current_database())"
        )
        async with self._database.autocommit() as connection:
            names = {name for name in await connection.scalars(statement) if _NAME.fullmatch(name)}
        names -= {gallery.graph for gallery in await self.list_galleries()}
        async with self._database.autocommit() as connection:
            for name in names:
                await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
        return sorted(names)

    async def _update(self, gallery: GalleryRecord, **values: object) -> None:
        statement = update(GalleryModel).where(GalleryModel.id == gallery.id).values(values)
        async with self._database.transaction(as_operator=True) as session:
            await session.execute(statement)
