"""The HNSW graphs of large galleries: partial indexes that the schema's owner builds beside running searches.

A graph holds the places up to the one that was newest when its building began, and its own condition says so: what is
registered later is not its business, so no registration ever waits for a graph. For the operator's login only.
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

_BYTES_A_TEMPLATE = 2_048
_MIN_MEMORY_MB = 64
_LOCK = 0x6772617068  # "graph"; migrations have another
_NAME = re.compile(r"graph_[0-9a-f]{32}_\d+_[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class GalleryRecord:
    """A gallery as the operator sees it."""

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
    """All galleries and their graphs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """For the time of the block no other process builds or drops graphs; raises `GraphsBusy` if one does."""
        async with self._database.autocommit() as connection:
            if not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
                raise GraphsBusy("Another process builds or drops search graphs just now; try again later.")
            try:
                yield
            finally:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})

    async def list_galleries(self) -> list[GalleryRecord]:
        """Every gallery of every tenant, the largest first."""
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
        )
        async with self._database.transaction(as_operator=True) as session:
            return [GalleryRecord(**row) for row in (await session.execute(statement)).mappings()]

    async def build(self, gallery: GalleryRecord, condition: str, *, upto: int, memory_mb: int) -> str:
        """Build a graph over the rows of the condition and return its name; takes minutes for a million.

        Searches, registrations and erasures go on, as does the gallery's graph of before.
        """
        name = f"graph_{gallery.id.hex}_{upto:d}_{token_hex(2)}"
        memory_mb = max(_MIN_MEMORY_MB, min(memory_mb, gallery.templates * _BYTES_A_TEMPLATE // 2**20))
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

    async def install(self, gallery: GalleryRecord, name: str, upto: int) -> None:
        """Let searches know the graph; it serves none until its recall is noted."""
        await self._update(
            gallery, graph=name, graph_upto=upto, graph_checked_at=None, graph_recall=None, graph_trusted=False
        )

    async def note_recall(self, gallery: GalleryRecord, recall: float, *, is_trusted: bool) -> None:
        """Write down what the recall monitor measured; an untrusted graph serves no more searches."""
        await self._update(gallery, graph_recall=recall, graph_checked_at=func.now(), graph_trusted=is_trusted)

    async def remove(self, gallery: GalleryRecord) -> None:
        """Let searches forget the gallery's graph; `drop_unused` removes it."""
        await self._update(gallery, graph=None, graph_upto=None, graph_recall=None, graph_trusted=False)

    async def drop_unused(self) -> list[str]:
        """Drop graphs that no gallery names any more, half-built ones too, unless one is being built just now."""
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
