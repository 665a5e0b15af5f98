"""Copy a video that lies elsewhere into encrypted parts in the spool, from which its steps read it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.fetched_videos import FetchedVideoRepository
from app.persistence.repositories.video_steps import StepKind, VideoStep, VideoStepRepository
from app.services.outbound.downloads import BodyTooLarge
from app.services.photos.object_stores import ObjectFetcher
from app.services.videos.parts import VideoParts
from app.services.videos.turn_requests import request_video_turn


class VideoFetcher:
    """Copies videos; one per process."""

    def __init__(self, database: Database, spool: PhotoSpool, objects: ObjectFetcher, parts: VideoParts) -> None:
        self._database = database
        self._spool = spool
        self._objects = objects
        self._parts = parts

    async def fetch(self, tenant_id: UUID, step: VideoStep) -> None:
        """Copy the video of a step, and finish the step; what an earlier try copied is discarded.

        Raises `VideoNotFound` if it was erased or the lease was lost, `VideoTooLarge`, `VideoUnreadable` for an empty
        one, `PhotoLost`, `PhotoStoreUnavailable`, or an `ObjectUnavailable`.
        """

        async def note(part_id: UUID, key_id: str, size: int) -> bool:
            async with self._database.transaction(tenant_id) as session:
                return await FetchedVideoRepository(session, tenant_id).add_part(step, part_id, key_id, size)

        async with self._database.transaction(tenant_id) as session:
            await FetchedVideoRepository(session, tenant_id).begin(step)
        try:
            async with aclosing(self._read(tenant_id, step)) as chunks:
                content = await self._parts.write(tenant_id, chunks, note)
        except BodyTooLarge:
            raise self._parts.describe_too_large() from None
        digest = self._parts.digests(tenant_id, content)[0]
        async with self._database.transaction(tenant_id) as session:
            steps = VideoStepRepository(session, tenant_id)
            if not await steps.lock_video(step.video_id) or not await steps.finish(step):
                return
            await FetchedVideoRepository(session, tenant_id).finish(step, digest)
            await steps.add(step.video_id, 0, StepKind.LOOK)
            await request_video_turn(session, tenant_id)

    def _read(self, tenant_id: UUID, step: VideoStep) -> AsyncGenerator[bytes]:
        source = step.source
        if source is None:
            return self._spool.stream(tenant_id, step.video_id)
        return self._objects.stream(
            tenant_id, source.bucket, source.name, source.version, max_bytes=self._parts.max_bytes
        )
