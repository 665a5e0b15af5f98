"""Receive announced photos that callers have uploaded to the bucket, and forget those that never arrive."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.errors import ImageTooLarge
from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.announced_photos import AnnouncedPhotoRepository, list_announced
from app.services.albums.turn_requests import request_turn

FORGOTTEN_AFTER = timedelta(hours=1)
_PHOTOS_A_ROUND = 100
_PAUSE_S = 30.0
"""A photo that is not there is looked for again after this time."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Which of some announced photos are not in the bucket, and which are there but too large."""

    missing: frozenset[UUID]
    too_large: frozenset[UUID]


class UploadedPhotos:
    """Looks for announced photos in the bucket. Several processes may do so at the same time."""

    def __init__(self, database: Database, spool: PhotoSpool, *, max_bytes: int) -> None:
        self._database = database
        self._spool = spool
        self._max_bytes = max_bytes

    async def receive(self, tenant_id: UUID, photo_ids: Sequence[UUID]) -> Arrivals:
        """Receive those that are there, fail those that are too large; raises `PhotoStoreUnavailable`."""
        sizes = await asyncio.gather(*(self._spool.measure(tenant_id, photo_id) for photo_id in photo_ids))
        arrived: list[UUID] = []
        too_large: list[UUID] = []
        missing: list[UUID] = []
        for photo_id, size in zip(photo_ids, sizes, strict=True):
            kind = missing if size is None else too_large if size > self._max_bytes else arrived
            kind.append(photo_id)
        if arrived or too_large:
            error = self.describe_too_large()
            async with self._database.transaction(tenant_id) as session:
                photos = AnnouncedPhotoRepository(session, tenant_id)
                await photos.fail(too_large, error.code, error.detail)
                if await photos.receive(arrived):
                    await request_turn(session, tenant_id)
        return Arrivals(frozenset(missing), frozenset(too_large))

    def describe_too_large(self) -> ImageTooLarge:
        """Describe what became of an upload that the bucket should have refused."""
        return ImageTooLarge(f"The uploaded image has more than {self._max_bytes} bytes.")

    async def look_once(self) -> None:
        """Look for up to 100 photos of all tenants that were not looked for lately."""
        for tenant_id, photo_ids in (await list_announced(self._database, _PHOTOS_A_ROUND)).items():
            arrivals = await self.receive(tenant_id, photo_ids)
            if arrivals.missing:
                async with self._database.transaction(tenant_id) as session:
                    photos = AnnouncedPhotoRepository(session, tenant_id)
                    await photos.forget_old(arrivals.missing, FORGOTTEN_AFTER)
                    await photos.look_later(arrivals.missing, _PAUSE_S)
