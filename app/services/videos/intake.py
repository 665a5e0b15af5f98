"""Receive videos while they arrive: each part is encrypted and written to the spool, and noted in the video's row."""

from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

from app.domain.videos import NewVideo
from app.errors import AppError, VideoNotFound
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.video_steps import StepKind, VideoStepRepository
from app.persistence.repositories.videos import UPLOADING, KnownVideo, VideoRepository
from app.services.background import log_and_continue
from app.services.videos.admission import ReceivedVideo, VideoLimits, admit, has_another
from app.services.videos.parts import VideoContent, VideoParts
from app.services.videos.turn_requests import request_video_turn


class VideoIntake:
    """Receives the videos of one caller's albums. It holds no transaction while a video arrives."""

    def __init__(
        self, database: Database, spool: PhotoSpool, parts: VideoParts, principal: Principal, limits: VideoLimits
    ) -> None:
        self._database = database
        self._spool = spool
        self._parts = parts
        self._principal = principal
        self._limits = limits

    async def receive(self, new: NewVideo, chunks: AsyncIterator[bytes]) -> ReceivedVideo:
        """Receive a video under the caller's id for it.

        The same video again is not received again, unless it failed. Raises `AlbumNotFound`, `AlbumClosed`,
        `VideoExists` if the id has another video, `VideoUnreadable` for an empty one, `VideoTooLarge`,
        `TooManyVideosWaiting`, or `PhotoStoreUnavailable`.
        """
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            begun = await admit(session, self._principal, self._limits, new, state=UPLOADING)
        if isinstance(begun, KnownVideo):
            return await self._compare(begun, new.external_id, chunks)

        async def note(part_id: UUID, key_id: str, size: int) -> bool:
            async with self._database.transaction(tenant_id) as session:
                return await VideoRepository(session, tenant_id).add_part(begun, part_id, key_id, size)

        try:
            await self._finish(begun, await self._parts.write(tenant_id, chunks, note))
        except BaseException:
            with log_and_continue("video_not_discarded"):
                await self._abandon(begun)
            raise
        return ReceivedVideo(begun, is_new=True)

    async def _compare(self, known: KnownVideo, external_id: str, chunks: AsyncIterator[bytes]) -> ReceivedVideo:
        """Read a video that may be there already, and keep nothing of it."""
        content = await self._parts.read(chunks)
        if known.digest not in self._parts.digests(self._principal.tenant_id, content):
            raise has_another(external_id)
        return ReceivedVideo(known.id, is_new=False)

    async def _finish(self, video_id: UUID, content: VideoContent) -> None:
        tenant_id = self._principal.tenant_id
        digest = self._parts.digests(tenant_id, content)[0]
        async with self._database.transaction(tenant_id) as session:
            if not await VideoRepository(session, tenant_id).receive(video_id, digest):
                raise VideoNotFound("The video was erased while it arrived.")
            await VideoStepRepository(session, tenant_id).add(video_id, 0, StepKind.LOOK)
            await request_video_turn(session, tenant_id)

    async def _abandon(self, video_id: UUID) -> None:
        tenant_id = self._principal.tenant_id
        with suppress(AppError):
            async with self._database.transaction(tenant_id) as session:
                await VideoRepository(session, tenant_id).delete(video_id)
            await self._spool.empty(self._database)
