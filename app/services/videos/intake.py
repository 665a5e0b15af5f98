"""Receive videos while they arrive: each part is encrypted and written to the spool, and noted in the video's row."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain.videos import Sampling, VideoState
from app.errors import AppError, TooManyVideosWaiting, VideoExists, VideoNotFound, VideoTooLarge, VideoUnreadable
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.video_steps import StepKind, VideoStepRepository
from app.persistence.repositories.videos import UPLOADING, VideoRepository
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.background import log_and_continue
from app.services.videos.turns import request_video_turn

_PART_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The largest video in bytes, and how many videos of a tenant may be unfinished."""

    max_bytes: int
    max_waiting: int


@dataclass(frozen=True, slots=True)
class ReceivedVideo:
    """The id of a received video, and whether this call added it: the same video sent again is not added twice."""

    id: UUID
    is_new: bool


@dataclass(slots=True)
class _Content:
    """What has arrived of a video."""

    digest: "hashlib._Hash"
    size: int = 0


class VideoIntake:
    """Receives the videos of one caller's albums. It holds no transaction while a video arrives."""

    def __init__(
        self, database: Database, spool: PhotoSpool, keyring: Keyring, principal: Principal, limits: VideoLimits
    ) -> None:
        self._database = database
        self._spool = spool
        self._keyring = keyring
        self._principal = principal
        self._limits = limits

    async def receive(
        self, album: str, external_id: str, sampling: Sampling, chunks: AsyncIterator[bytes]
    ) -> ReceivedVideo:
        """Receive a video under the caller's id for it.

        The same video again is not received again, unless it failed. Raises `AlbumNotFound`, `AlbumClosed`,
        `VideoExists` if the id has another video, `VideoUnreadable` for an empty one, `VideoTooLarge`,
        `TooManyVideosWaiting`, or `PhotoStoreUnavailable`.
        """
        begun = await self._begin(album, external_id, sampling)
        content = _Content(hashlib.sha256())
        if not isinstance(begun, UUID):
            return await self._compare(begun, external_id, content, chunks)
        try:
            async for part in self._parts(chunks, content):
                await self._add_part(begun, part)
            if not content.size:
                raise VideoUnreadable("The video is empty.")
            await self._finish(begun, content)
        except BaseException:
            with log_and_continue("video_not_discarded"):
                await self._abandon(begun)
            raise
        return ReceivedVideo(begun, is_new=True)

    async def _begin(self, album: str, external_id: str, sampling: Sampling) -> "UUID | tuple[UUID, bytes | None]":
        """Add the video's row and return its id; or the id and digest of one that was received under this name."""
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            found = await AlbumRepository(session, tenant_id, self._principal.collections).get_open(album)
            videos = VideoRepository(session, tenant_id)
            known = await videos.find_digest(found.collection_id, external_id)
            if known is not None and known[1] in (VideoState.FAILED, UPLOADING):
                await videos.delete(known[0])  # it has no faces
            elif known is not None:
                return known[0], known[2]
            limit = self._limits.max_waiting
            if await videos.count_unfinished(limit) >= limit:
                raise TooManyVideosWaiting(
                    f"{limit} of your videos wait to be processed, which is the limit. Send more when some are done.",
                    retry_after_s=60,
                )
            begun = await videos.begin(found.collection_id, external_id, sampling)
            if begun is None:
                raise _sent_twice(external_id)
            return begun

    async def _compare(
        self, known: tuple[UUID, bytes | None], external_id: str, content: _Content, chunks: AsyncIterator[bytes]
    ) -> ReceivedVideo:
        """Read a video that may be there already, and keep nothing of it."""
        async for _ in self._parts(chunks, content):
            pass
        if known[1] not in self._digests(content):
            raise VideoExists(
                f"external_id: the album has another video {external_id!r}; delete it first, or choose another id.",
                field="external_id",
            )
        return ReceivedVideo(known[0], is_new=False)

    async def _parts(self, chunks: AsyncIterator[bytes], content: _Content) -> AsyncIterator[bytes]:
        buffer = bytearray()
        async for chunk in chunks:
            content.size += len(chunk)
            if content.size > self._limits.max_bytes:
                raise VideoTooLarge(f"The video has more than {self._limits.max_bytes} bytes, which is the limit.")
            content.digest.update(chunk)
            buffer += chunk
            if len(buffer) >= _PART_BYTES:
                yield bytes(buffer)
                buffer.clear()
        if buffer:
            yield bytes(buffer)

    async def _add_part(self, video_id: UUID, part: bytes) -> None:
        tenant_id, part_id = self._principal.tenant_id, uuid4()
        try:
            key_id = await self._spool.put(tenant_id, part_id, part)
            async with self._database.transaction(tenant_id) as session:
                is_there = await VideoRepository(session, tenant_id).add_part(video_id, part_id, key_id, len(part))
        except BaseException:
            with log_and_continue("video_part_not_discarded"):
                await self._spool.discard_later(self._database, tenant_id, part_id)
            raise
        if not is_there:
            await self._spool.delete(tenant_id, part_id)
            raise VideoNotFound("The video was erased while it arrived.")

    async def _finish(self, video_id: UUID, content: _Content) -> None:
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            if not await VideoRepository(session, tenant_id).receive(video_id, self._digests(content)[0]):
                raise VideoNotFound("The video was erased while it arrived.")
            await VideoStepRepository(session, tenant_id).add(video_id, 0, StepKind.LOOK)
            await request_video_turn(session, tenant_id)

    async def _abandon(self, video_id: UUID) -> None:
        tenant_id = self._principal.tenant_id
        with suppress(AppError):
            async with self._database.transaction(tenant_id) as session:
                await VideoRepository(session, tenant_id).delete(video_id)
            await self._spool.empty(self._database)

    def _digests(self, content: _Content) -> list[bytes]:
        about = (str(self._principal.tenant_id), "video")
        return image_digests(self._keyring, about, content.digest.digest())


def _sent_twice(external_id: str) -> VideoExists:
    return VideoExists(
        f"external_id: {external_id!r} was sent twice at the same time; send it again.", field="external_id"
    )
