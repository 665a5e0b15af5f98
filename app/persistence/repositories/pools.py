"""Pools: collections whose own anonymous faces are sightings, as an album's faces are."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, any_, cast, func, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.domain.albums import AlbumKind, Pool
from app.persistence.models import AlbumModel, CollectionModel, SightingModel, SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository

_IS_POOL = AlbumModel.kind == AlbumKind.POOL.value


class PoolRepository(TenantRepository):
    """One tenant's pools."""

    async def find(self, collection_id: UUID) -> Pool | None:
        """Find the pool of a collection."""
        row = await self._session.scalar(self._select(AlbumModel, AlbumModel.collection_id == collection_id, _IS_POOL))
        if row is None:
            return None
        counted = select(func.count()).where(
            self._of_tenant(SightingModel), SightingModel.collection_id == collection_id
        )
        assert row.retain_days is not None  # every pool has it
        return Pool(collection_id, row.retain_days, row.created_at, await self._session.scalar(counted) or 0)

    async def list_names(self, limit: int) -> list[str]:
        """List the names of up to `limit` collections that are pools."""
        of_pool = (CollectionModel.id == AlbumModel.collection_id) & self._of_tenant(CollectionModel)
        statement = self._select(AlbumModel, _IS_POOL).join(CollectionModel, of_pool)
        names = statement.with_only_columns(CollectionModel.name).order_by(CollectionModel.name).limit(limit)
        return list(await self._session.scalars(names))

    async def save(self, collection_id: UUID, retain_days: int) -> bool:
        """Make a collection a pool, or change how long it keeps faces; return False if it is an album."""
        values = self._row(collection_id=collection_id, kind=AlbumKind.POOL.value, retain_days=retain_days)
        statement = insert(AlbumModel).values(values)
        statement = statement.on_conflict_do_update(
            index_elements=[AlbumModel.tenant_id, AlbumModel.collection_id],
            set_={"retain_days": retain_days},
            where=_IS_POOL,
        )
        return await self._session.scalar(statement.returning(AlbumModel.collection_id)) is not None

    async def delete(self, collection_id: UUID) -> bool:
        """Forget a pool's sightings and what people decided about them; return False if there is no pool."""
        statement = self._delete(AlbumModel, AlbumModel.collection_id == collection_id, _IS_POOL)
        return await self._session.scalar(statement.returning(AlbumModel.collection_id)) is not None

    async def fill(self, collection_id: UUID) -> None:
        """Add the anonymous faces that a collection has."""
        of_subject = (SubjectModel.id == TemplateModel.subject_id) & self._of_tenant(SubjectModel)
        columns: tuple[Any, ...] = (
            TemplateModel.tenant_id,
            TemplateModel.id,
            SubjectModel.collection_id,
            func.coalesce(TemplateModel.image_id, TemplateModel.id),
            true(),
        )
        stored = (
            select(*columns)
            .distinct()
            .join(SubjectModel, of_subject)
            .where(
                self._of_tenant(TemplateModel),
                SubjectModel.collection_id == collection_id,
                SubjectModel.is_anonymous,
            )
        )
        await self._insert(stored)

    async def add(self, collection_id: UUID, photo_ids: Mapping[UUID, UUID]) -> None:
        """Add new anonymous faces if their collection is a pool; `photo_ids` maps face ids to image ids."""
        arrays = (cast(values, ARRAY(Uuid)) for values in (list(photo_ids), list(photo_ids.values())))
        new = func.unnest(*arrays).table_valued("face_id", "photo_id", name="new").render_derived()
        columns: tuple[Any, ...] = (
            AlbumModel.tenant_id,
            new.c.face_id,
            AlbumModel.collection_id,
            new.c.photo_id,
            true(),
        )
        is_pool = (AlbumModel.collection_id == collection_id, _IS_POOL)
        await self._insert(
            select(*columns)
            .select_from(AlbumModel)
            .join(new, literal(True))
            .where(self._of_tenant(AlbumModel), *is_pool)
        )

    async def forget(self, face_ids: Collection[UUID]) -> None:
        """Take faces out of their pools, because they belong to named subjects by now."""
        pools = select(AlbumModel.collection_id).where(self._of_tenant(AlbumModel), _IS_POOL)
        is_listed = SightingModel.face_id == any_(cast(list(face_ids), ARRAY(Uuid)))
        await self._session.execute(self._delete(SightingModel, is_listed, SightingModel.collection_id.in_(pools)))

    async def _insert(self, rows: Any) -> None:
        """Insert sightings that are to be decided."""
        columns = ("tenant_id", "face_id", "collection_id", "photo_id", "is_stale")
        await self._session.execute(insert(SightingModel).from_select(columns, rows).on_conflict_do_nothing())
