"""Describe announced videos to what receives uploads."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.errors import VideoTooLarge
from app.persistence.connections.database import Database, Transaction
from app.persistence.repositories.announced_videos import AnnouncedVideoRepository, list_announced_videos
from app.services.videos.turn_requests import request_fetch


@dataclass(frozen=True, slots=True)
class AnnouncedVideos:
    """Videos that callers upload to the bucket."""

    max_bytes: int

    def open(self, session: Transaction, tenant_id: UUID) -> AnnouncedVideoRepository:
        return AnnouncedVideoRepository(session, tenant_id)

    async def list_waiting(self, database: Database, limit: int) -> dict[UUID, list[UUID]]:
        return await list_announced_videos(database, limit)

    async def request_turn(self, session: Transaction, tenant_id: UUID, received: Sequence[UUID]) -> None:
        for video_id in received:
            await request_fetch(session, tenant_id, video_id)

    def describe_too_large(self) -> VideoTooLarge:
        return VideoTooLarge(f"The uploaded video has more than {self.max_bytes} bytes.")
