"""Describe announced photos to what receives uploads."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.errors import ImageTooLarge
from app.persistence.connections.database import Database, Transaction
from app.persistence.repositories.announced_photos import AnnouncedPhotoRepository, list_announced_photos
from app.services.albums.turn_requests import request_turn


@dataclass(frozen=True, slots=True)
class AnnouncedPhotos:
    """Photos that callers upload to the bucket."""

    max_bytes: int

    def open(self, session: Transaction, tenant_id: UUID) -> AnnouncedPhotoRepository:
        return AnnouncedPhotoRepository(session, tenant_id)

    async def list_waiting(self, database: Database, limit: int) -> dict[UUID, list[UUID]]:
        return await list_announced_photos(database, limit)

    async def request_turn(self, session: Transaction, tenant_id: UUID, received: Sequence[UUID]) -> None:
        await request_turn(session, tenant_id)

    def describe_too_large(self) -> ImageTooLarge:
        return ImageTooLarge(f"The uploaded image has more than {self.max_bytes} bytes.")
