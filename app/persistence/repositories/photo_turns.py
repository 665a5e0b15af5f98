"""Photos as workers see them: taken under a lease, begun, finished, failed or given back.

A worker draws a lease and takes waiting photos under it. It may finish a photo only while it holds the lease, so that
no photo is stored twice. A lease that runs out belongs to a worker that was killed or cut off: the photo is taken
again, and fails after the third time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Integer, Text, Uuid, any_, case, cast, exists, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.domain.albums import Keep, PhotoState, WaitingPhoto
from app.errors import PhotoHarmful
from app.persistence.connections.database import Database
from app.persistence.models import AlbumModel, CollectionModel, PhotoModel, PhotoTurnModel
from app.persistence.repositories.base import TenantRepository

MAX_ATTEMPTS = 3
"""A photo whose lease was lost so often while a worker was busy with it is not tried again."""


@dataclass(frozen=True, slots=True)
class FinishedPhoto:
    """What became of a photo: done with its faces, or failed with a code."""

    id: UUID
    state: PhotoState
    width: int | None = None
    height: int | None = None
    faces: int | None = None
    faces_skipped: int | None = None
    code: str | None = None
    detail: str | None = None
    keeps_object: bool = False
    """Whether the picture stays in the spool, because a retry may succeed."""


class PhotoTurnRepository(TenantRepository):
    """One tenant's waiting photos."""

    async def take_turn(self) -> None:
        """Note that the tenant has no turn in the job queue anymore; locks the row until the transaction ends."""
        await self._session.execute(self._update(PhotoTurnModel).values(is_queued=False))

    async def give_back_lost(self) -> dict[UUID, str]:
        """Receive again the photos of lost leases, and fail those lost too often; return the codes of the failed."""
        is_poison = PhotoModel.attempts >= MAX_ATTEMPTS
        is_lost = (PhotoModel.state == PhotoState.WORKING.value) & (PhotoModel.leased_until < func.now())
        lost = self._select(PhotoModel, is_lost).with_for_update(skip_locked=True).with_only_columns(PhotoModel.id)
        statement = self._update(PhotoModel, PhotoModel.id.in_(lost)).values(
            state=case((is_poison, PhotoState.FAILED.value), else_=PhotoState.RECEIVED.value),
            code=case((is_poison, PhotoHarmful.code)),
            detail=case((is_poison, f"Its processing was cut off {MAX_ATTEMPTS} times. The photo may be harmful.")),
            finished_at=case((is_poison, func.now())),
            has_object=PhotoModel.has_object & ~is_poison,
            lease=None,
            leased_until=None,
        )
        rows = await self._session.execute(statement.returning(PhotoModel.id, PhotoModel.code))
        return {row.id: row.code for row in rows if row.code is not None}

    async def find_albums(self, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, str]]:
        """Return the album's collection id and name of each photo."""
        of_collection = (CollectionModel.id == PhotoModel.collection_id) & self._of_tenant(CollectionModel)
        statement = self._select(PhotoModel, _is_any(ids)).join(CollectionModel, of_collection)
        columns: tuple[Any, ...] = (PhotoModel.id, CollectionModel.id.label("album_id"), CollectionModel.name)
        rows = await self._session.execute(statement.with_only_columns(*columns))
        return {photo_id: (album_id, name) for photo_id, album_id, name in rows}

    async def take(self, lease: UUID, lease_s: float, limit: int) -> list[WaitingPhoto]:
        """Take up to `limit` waiting photos, oldest first. A photo that was lost before is taken last and alone."""
        is_suspect = PhotoModel.attempts > 0
        waiting = self._select(PhotoModel, *_waiting())
        waiting = waiting.order_by(is_suspect, PhotoModel.seq).limit(limit).with_for_update(skip_locked=True)
        columns: tuple[Any, ...] = (PhotoModel.id, PhotoModel.attempts)
        rows = (await self._session.execute(waiting.with_only_columns(*columns))).all()
        if rows and rows[0].attempts > 0:
            rows = rows[:1]
        ids = [row.id for row in rows if row.attempts == rows[0].attempts]
        until = func.now() + timedelta(seconds=lease_s)
        taken = self._update(PhotoModel, _is_any(ids)).values(
            state=PhotoState.WORKING.value, lease=lease, leased_until=until
        )
        await self._session.execute(taken.execution_options(synchronize_session=False))
        return await self._describe(ids)

    async def has_waiting(self) -> bool:
        """Return whether photos wait that may be taken now."""
        waiting = exists().where(self._of_tenant(PhotoModel), *_waiting())
        return bool(await self._session.scalar(select(waiting)))

    async def has_open(self, collection_id: UUID) -> bool:
        """Return whether photos of an album wait or are processed."""
        states = PhotoModel.state.in_([PhotoState.RECEIVED.value, PhotoState.WORKING.value])
        is_open = exists().where(self._of_tenant(PhotoModel), PhotoModel.collection_id == collection_id, states)
        return bool(await self._session.scalar(select(is_open)))

    async def renew(self, lease: UUID, lease_s: float) -> int:
        """Extend a lease; return how many photos it holds."""
        until = func.now() + timedelta(seconds=lease_s)
        statement = self._update(PhotoModel, *_held(lease)).values(leased_until=until).returning(PhotoModel.id)
        return len((await self._session.scalars(statement)).all())

    async def lock_held(self, lease: UUID, ids: Iterable[UUID]) -> set[UUID]:
        """Lock those of the photos that the lease still holds, and return their ids. Lock their album first."""
        statement = self._select(PhotoModel, _is_any(ids), *_held(lease)).order_by(PhotoModel.id).with_for_update()
        return set(await self._session.scalars(statement.with_only_columns(PhotoModel.id)))

    async def finish(self, photos: Sequence[FinishedPhoto]) -> None:
        """Write what became of photos. Lock them first."""
        columns: dict[str, tuple[Any, list[Any]]] = {
            "id": (Uuid, [photo.id for photo in photos]),
            "state": (Text, [photo.state.value for photo in photos]),
            "width": (Integer, [photo.width for photo in photos]),
            "height": (Integer, [photo.height for photo in photos]),
            "faces": (Integer, [photo.faces for photo in photos]),
            "faces_skipped": (Integer, [photo.faces_skipped for photo in photos]),
            "code": (Text, [photo.code for photo in photos]),
            "detail": (Text, [photo.detail for photo in photos]),
            "keeps_object": (Boolean, [photo.keeps_object for photo in photos]),
        }
        arrays = (cast(values, ARRAY(kind)) for kind, values in columns.values())
        became = func.unnest(*arrays).table_valued(*columns, name="became").render_derived()
        values = {name: became.c[name] for name in columns if name not in ("id", "keeps_object")}
        statement = self._update(PhotoModel, PhotoModel.id == became.c.id).values(
            **values,
            finished_at=func.now(),
            has_object=PhotoModel.has_object & became.c.keeps_object,
            may_retry=became.c.keeps_object,
            lease=None,
            leased_until=None,
        )
        await self._session.execute(statement.execution_options(synchronize_session=False))

    async def give_back(self, lease: UUID, begun: Iterable[UUID]) -> int:
        """Receive again the photos that a lease holds; those in `begun` were begun for nothing. Return their number."""
        attempts = case((_is_any(begun), func.greatest(PhotoModel.attempts - 1, 0)), else_=PhotoModel.attempts)
        statement = self._update(PhotoModel, *_held(lease)).values(
            state=PhotoState.RECEIVED.value, attempts=attempts, lease=None, leased_until=None
        )
        return len((await self._session.scalars(statement.returning(PhotoModel.id))).all())

    async def postpone(self, lease: UUID, ids: Iterable[UUID], *, max_fetches: int, pause_s: float) -> set[UUID]:
        """Receive again photos whose store is away, to be taken after a pause; return their ids.

        Those that were fetched `max_fetches` times stay with the lease.
        """
        later = func.now() + timedelta(seconds=pause_s)
        may_wait = PhotoModel.fetches + 1 < max_fetches
        statement = self._update(PhotoModel, _is_any(ids), may_wait, *_held(lease)).values(
            state=PhotoState.RECEIVED.value,
            fetches=PhotoModel.fetches + 1,
            not_before=later,
            lease=None,
            leased_until=None,
        )
        return set(await self._session.scalars(statement.returning(PhotoModel.id)))

    async def _describe(self, ids: list[UUID]) -> list[WaitingPhoto]:
        of_album = (AlbumModel.collection_id == PhotoModel.collection_id) & self._of_tenant(AlbumModel)
        of_collection = (CollectionModel.id == PhotoModel.collection_id) & self._of_tenant(CollectionModel)
        columns: tuple[Any, ...] = (
            PhotoModel.id,
            PhotoModel.collection_id,
            CollectionModel.name,
            PhotoModel.external_id,
            PhotoModel.attempts,
            PhotoModel.key_id,
            AlbumModel.keep,
            PhotoModel.source,
            PhotoModel.traceparent,
        )
        statement = (
            self._select(PhotoModel, _is_any(ids)).join(AlbumModel, of_album).join(CollectionModel, of_collection)
        )
        rows = await self._session.execute(statement.with_only_columns(*columns).order_by(PhotoModel.seq))
        return [
            WaitingPhoto(photo_id, collection_id, album, external_id, attempts, key_id, Keep(keep), *others)
            for photo_id, collection_id, album, external_id, attempts, key_id, keep, *others in rows
        ]


def _is_any(ids: Iterable[UUID]) -> Any:
    return PhotoModel.id == any_(cast(list(ids), ARRAY(Uuid)))


def _waiting() -> tuple[Any, Any]:
    return PhotoModel.state == PhotoState.RECEIVED.value, PhotoModel.not_before <= func.now()


def _held(lease: UUID) -> tuple[Any, Any]:
    return PhotoModel.lease == lease, PhotoModel.state == PhotoState.WORKING.value


async def start_photo(database: Database, tenant_id: UUID, photo_id: UUID, lease: UUID, lease_s: float) -> bool:
    """Count that a worker begins with a photo, and renew its lease; return False if the lease is lost."""
    statement = "SELECT vultus_start_photo($1, $2, $3, $4) AS is_held"
    row = await database.fetch_row(statement, tenant_id, photo_id, lease, lease_s)
    return bool(row["is_held"])


async def find_tenants_with_lost_photos(database: Database, grace_s: float) -> list[UUID]:
    """Find tenants whose photos would wait for ever: their leases ran out, or they have no turn in the job queue."""
    async with database.transaction() as session:
        rows = await session.scalars(text("SELECT vultus_tenants_with_lost_photos(:grace_s)"), {"grace_s": grace_s})
        return list(rows)


async def forget_failed(database: Database) -> int:
    """Discard the pictures of photos that failed more than a day ago and were not retried; return how many."""
    row = await database.fetch_row("SELECT vultus_forget_failed_photos() AS forgotten")
    return int(row["forgotten"])


@dataclass(frozen=True, slots=True)
class QueueLength:
    """All tenants' photos on their way, the seconds since the oldest arrived, and the jobs in the queue."""

    received: int
    working: int
    oldest_s: float
    jobs: int


async def measure_queue(database: Database) -> QueueLength:
    """Count the photos on their way."""
    row = await database.fetch_row("SELECT * FROM vultus_count_waiting_photos()")
    return QueueLength(row["received"], row["working"], row["oldest_s"], row["jobs"])
