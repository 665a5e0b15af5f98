"""Photos of albums as callers see them: received, listed, retried and erased."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.albums import AlbumPhoto, PhotoState, StoredFacePlace
from app.domain.faces import RelativeBox
from app.persistence.models import PhotoModel, PhotoTurnModel, TemplateModel
from app.persistence.repositories.base import TenantRepository


class PhotoRepository(TenantRepository):
    """The photos of one tenant's albums. Lock the album before its photos."""

    async def find(self, collection_id: UUID, external_id: str) -> AlbumPhoto | None:
        row = await self._session.scalar(self._of_album(collection_id, PhotoModel.external_id == external_id))
        return describe_photo(row) if row is not None else None

    async def find_digest(self, collection_id: UUID, external_id: str) -> tuple[AlbumPhoto, bytes | None] | None:
        """Lock and return a photo with the digest of its content."""
        statement = self._of_album(collection_id, PhotoModel.external_id == external_id).with_for_update()
        row = await self._session.scalar(statement)
        return (describe_photo(row), row.digest) if row is not None else None

    async def add(self, photo_id: UUID, collection_id: UUID, external_id: str, **values: Any) -> AlbumPhoto | None:
        """Add a received photo; return None if the album has one with this external id.

        `values` are `state`, `key_id`, `digest`.
        """
        row = self._row(id=photo_id, collection_id=collection_id, external_id=external_id, **values)
        statement = insert(PhotoModel).values(row).on_conflict_do_nothing().returning(PhotoModel)
        created: PhotoModel | None = await self._session.scalar(statement)
        return describe_photo(created) if created is not None else None

    async def list_page(
        self, collection_id: UUID, state: PhotoState | None, after: int | None, limit: int
    ) -> list[AlbumPhoto]:
        """List up to `limit` photos after a sequence number, in the order of arrival."""
        conditions: list[ColumnElement[bool]] = []
        if state is not None:
            conditions.append(PhotoModel.state == state.value)
        if after is not None:
            conditions.append(PhotoModel.seq > after)
        statement = self._of_album(collection_id, *conditions).order_by(PhotoModel.seq).limit(limit)
        return [describe_photo(row) for row in await self._session.scalars(statement)]

    async def find_stored_place(self, collection_id: UUID, face_id: UUID) -> StoredFacePlace | None:
        """Return where an album's face is in the tenant's object store; None if its photo does not lie there."""
        of_face = (TemplateModel.id == face_id) & (TemplateModel.collection_id == collection_id)
        statement = (
            select(PhotoModel.source, TemplateModel.box)
            .join(TemplateModel, (TemplateModel.image_id == PhotoModel.id) & self._of_tenant(TemplateModel))
            .where(self._of_tenant(PhotoModel), of_face, PhotoModel.source.is_not(None), TemplateModel.box.is_not(None))
            .limit(1)
        )
        row = (await self._session.execute(statement)).first()
        return StoredFacePlace(row.source, RelativeBox(*row.box)) if row is not None else None

    async def list_by_ids(self, photo_ids: list[UUID]) -> dict[UUID, AlbumPhoto]:
        statement = self._select(PhotoModel, PhotoModel.id.in_(photo_ids))
        return {row.id: describe_photo(row) for row in await self._session.scalars(statement)}

    async def retry(self, collection_id: UUID) -> int:
        """Receive again the failed photos that may succeed another time; return their number."""
        can_retry = (PhotoModel.state == PhotoState.FAILED.value) & PhotoModel.may_retry
        statement = self._update(PhotoModel, PhotoModel.collection_id == collection_id, can_retry)
        received = {
            "state": PhotoState.RECEIVED.value,
            "attempts": 0,
            "fetches": 0,
            "not_before": func.now(),
            "may_retry": False,
            "finished_at": None,
            "code": None,
            "detail": None,
        }
        retried = await self._session.scalars(statement.values(received).returning(PhotoModel.id))
        return len(retried.all())

    async def delete(self, photo_id: UUID) -> None:
        """Delete a photo; erase its faces before. A trigger discards its object."""
        await self._session.execute(self._delete(PhotoModel, PhotoModel.id == photo_id))

    async def count_waiting(self, limit: int) -> int:
        """Count the tenant's received photos, up to `limit`."""
        waiting = (
            select(PhotoModel.id)
            .where(self._of_tenant(PhotoModel), PhotoModel.state == PhotoState.RECEIVED.value)
            .limit(limit)
            .subquery()
        )
        return await self._session.scalar(select(func.count()).select_from(waiting)) or 0

    async def begin_turn(self) -> int | None:
        """Note that the tenant has a turn in the job queue; return its number, or None if it had one already.

        Call it last in a transaction that adds photos: it locks the tenant's row, and so does the worker that takes
        the turn, which therefore sees the photos or leaves the row without a turn.
        """
        first = insert(PhotoTurnModel).values(self._row(number=1, is_queued=True))
        again = first.on_conflict_do_update(
            index_elements=["tenant_id"],
            set_={"number": PhotoTurnModel.number + 1, "is_queued": True},
            where=PhotoTurnModel.is_queued.is_(False),
        )
        number: int | None = await self._session.scalar(again.returning(PhotoTurnModel.number))
        return number

    def _of_album(self, collection_id: UUID, *conditions: ColumnElement[bool]) -> Any:
        return self._select(PhotoModel, PhotoModel.collection_id == collection_id, *conditions)


def describe_photo(row: PhotoModel) -> AlbumPhoto:
    """Read a photo as callers see it."""
    state = PhotoState(row.state)
    return AlbumPhoto(
        row.id,
        row.external_id,
        state,
        row.seq,
        row.attempts,
        row.received_at,
        row.finished_at,
        row.width,
        row.height,
        row.faces,
        row.faces_skipped,
        row.code,
        row.detail,
        can_retry=state is PhotoState.FAILED and row.may_retry,
    )
