"""Photos that callers announce before they are there: uploaded to the bucket, or in the tenant's own object store."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Uuid, any_, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.domain.albums import AlbumPhoto, PhotoState
from app.persistence.connections.database import Database
from app.persistence.models import PhotoModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.photos import describe_photo


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """A photo in the tenant's own object store, as `bucket/name`, and the caller's id for it."""

    external_id: str
    source: str


class AnnouncedPhotoRepository(TenantRepository):
    """The announced photos of one tenant. Lock the album before its photos."""

    async def find_each(self, collection_id: UUID, external_ids: Sequence[str]) -> dict[str, tuple[AlbumPhoto, str]]:
        """Lock and return the photos that are there, with their sources, by external id; "" is no source."""
        wanted = PhotoModel.collection_id == collection_id, PhotoModel.external_id.in_(external_ids)
        statement = self._select(PhotoModel, *wanted).order_by(PhotoModel.id).with_for_update()
        return {
            row.external_id: (describe_photo(row), row.source or "") for row in await self._session.scalars(statement)
        }

    async def announce(self, collection_id: UUID, external_ids: Sequence[str]) -> dict[str, AlbumPhoto]:
        """Add photos that will be uploaded; return those that another transaction has not added meanwhile."""
        return await self._add(
            [
                self._row(id=uuid4(), collection_id=collection_id, external_id=one, state=PhotoState.ANNOUNCED.value)
                for one in external_ids
            ]
        )

    async def add_sources(self, collection_id: UUID, sources: Sequence[PhotoSource]) -> dict[str, AlbumPhoto]:
        """Add received photos that lie elsewhere; return those that another transaction has not added meanwhile."""
        return await self._add(
            [
                self._row(
                    id=uuid4(),
                    collection_id=collection_id,
                    external_id=one.external_id,
                    source=one.source,
                    has_object=False,
                )
                for one in sources
            ]
        )

    async def count_unfinished(self, limit: int) -> int:
        """Count the tenant's announced and received photos, up to `limit`."""
        states = (PhotoState.ANNOUNCED.value, PhotoState.RECEIVED.value)
        unfinished = select(PhotoModel.id).where(self._of_tenant(PhotoModel), PhotoModel.state.in_(states)).limit(limit)
        return await self._session.scalar(select(func.count()).select_from(unfinished.subquery())) or 0

    async def renew(self, ids: Iterable[UUID]) -> None:
        """Announce photos again: they are not forgotten before another hour."""
        await self._change(ids, received_at=func.now(), not_before=func.now())

    async def receive(self, ids: Iterable[UUID]) -> int:
        """Receive announced photos that are in the bucket; return how many were not received before."""
        return await self._change(ids, state=PhotoState.RECEIVED.value, received_at=func.now(), not_before=func.now())

    async def fail(self, ids: Iterable[UUID], code: str, detail: str) -> None:
        """Fail announced photos; a trigger discards what lies in the bucket."""
        values = {"code": code, "detail": detail, "finished_at": func.now(), "has_object": False}
        await self._change(ids, state=PhotoState.FAILED.value, **values)

    async def look_later(self, ids: Iterable[UUID], pause_s: float) -> None:
        """Look for announced photos again after a pause."""
        await self._change(ids, not_before=func.now() + timedelta(seconds=pause_s))

    async def forget_old(self, ids: Iterable[UUID], age: timedelta) -> int:
        """Delete announcements that are older; return their number. A trigger discards what lies in the bucket."""
        is_old = PhotoModel.received_at < func.now() - age
        statement = self._delete(PhotoModel, _is_announced(ids), is_old).returning(PhotoModel.id)
        return len((await self._session.scalars(statement)).all())

    async def delete(self, ids: Iterable[UUID]) -> None:
        """Delete photos without faces, of whatever state."""
        await self._session.execute(self._delete(PhotoModel, PhotoModel.id.in_(list(ids))))

    async def _add(self, rows: list[dict[str, Any]]) -> dict[str, AlbumPhoto]:
        if not rows:
            return {}
        statement = insert(PhotoModel).values(rows).on_conflict_do_nothing().returning(PhotoModel)
        return {row.external_id: describe_photo(row) for row in await self._session.scalars(statement)}

    async def _change(self, ids: Iterable[UUID], **values: Any) -> int:
        statement = self._update(PhotoModel, _is_announced(ids)).values(**values).returning(PhotoModel.id)
        changed = await self._session.scalars(statement.execution_options(synchronize_session=False))
        return len(changed.all())


def _is_announced(ids: Iterable[UUID]) -> Any:
    return (PhotoModel.id == any_(cast(list(ids), ARRAY(Uuid)))) & (PhotoModel.state == PhotoState.ANNOUNCED.value)


async def list_announced(database: Database, limit: int) -> dict[UUID, list[UUID]]:
    """List up to `limit` announced photos of all tenants that were not looked for lately, by tenant."""
    found: dict[UUID, list[UUID]] = {}
    async with database.transaction() as session:
        rows = await session.execute(text("SELECT * FROM vultus_announced_photos(:photos)"), {"photos": limit})
        for row in rows:
            found.setdefault(row.tenant, []).append(row.photo)
    return found
