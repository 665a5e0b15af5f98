"""Photos that callers announce before they are there: uploaded to the bucket, or in the tenant's own object store."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.albums import AlbumPhoto, PhotoState
from app.persistence.connections.database import Database
from app.persistence.models import PhotoModel
from app.persistence.repositories.announced import AnnouncedRepository, list_announced
from app.persistence.repositories.photos import describe_photo


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """A photo in the tenant's own object store, as `bucket/name`, and the caller's id for it."""

    external_id: str
    source: str


class AnnouncedPhotoRepository(AnnouncedRepository):
    """The announced photos of one tenant. Lock the album before its photos."""

    _model = PhotoModel
    _without_object: ClassVar[dict[str, Any]] = {"has_object": False}

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

    async def delete(self, ids: Iterable[UUID]) -> None:
        """Delete photos without faces, of whatever state."""
        await self._session.execute(self._delete(PhotoModel, PhotoModel.id.in_(list(ids))))

    async def _add(self, rows: list[dict[str, Any]]) -> dict[str, AlbumPhoto]:
        if not rows:
            return {}
        statement = insert(PhotoModel).values(rows).on_conflict_do_nothing().returning(PhotoModel)
        return {row.external_id: describe_photo(row) for row in await self._session.scalars(statement)}


async def list_announced_photos(database: Database, limit: int) -> dict[UUID, list[UUID]]:
    """List up to `limit` announced photos of all tenants that were not looked for lately, by tenant."""
    return await list_announced(database, "vultus_announced_photos", limit)
