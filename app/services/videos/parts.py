"""Write a video to the spool while it arrives: in parts, each encrypted and noted by the caller."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.errors import VideoNotFound, VideoTooLarge, VideoUnreadable
from app.persistence.connections.database import Database
from app.persistence.photo_spool import PhotoSpool
from app.security.image_digests import image_digests
from app.security.keyring import Keyring
from app.services.background import log_and_continue

PART_BYTES = 8 * 2**20

NotePart = Callable[[UUID, str, int], Awaitable[bool]]
"""Notes a part by its id, the id of its key and its size, in a transaction; returns False if the video was erased."""


@dataclass(slots=True)
class VideoContent:
    """What has arrived of a video."""

    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0


class VideoParts:
    """Cuts videos into parts, and writes these to the spool."""

    def __init__(self, database: Database, spool: PhotoSpool, keyring: Keyring, *, max_bytes: int) -> None:
        self._database = database
        self._spool = spool
        self._keyring = keyring
        self.max_bytes = max_bytes

    async def write(self, tenant_id: UUID, chunks: AsyncIterator[bytes], note: NotePart) -> VideoContent:
        """Write a video; raises `VideoTooLarge`, `VideoUnreadable` for an empty one, or `VideoNotFound`."""
        content = VideoContent()
        async for part in self._cut(chunks, content):
            await self._add(tenant_id, part, note)
        if not content.size:
            raise VideoUnreadable("The video is empty.")
        return content

    async def read(self, chunks: AsyncIterator[bytes]) -> VideoContent:
        """Read a video and keep nothing of it; raises `VideoTooLarge`."""
        content = VideoContent()
        async for _ in self._cut(chunks, content):
            pass
        return content

    def digests(self, tenant_id: UUID, content: VideoContent) -> list[bytes]:
        """Return the keyed digests of a video, one for each of the service's secrets, the current one first."""
        return image_digests(self._keyring, (str(tenant_id), "video"), content.digest.digest())

    def describe_too_large(self) -> VideoTooLarge:
        return VideoTooLarge(f"The video has more than {self.max_bytes} bytes, which is the limit.")

    async def _cut(self, chunks: AsyncIterator[bytes], content: VideoContent) -> AsyncIterator[bytes]:
        buffer = bytearray()
        async for chunk in chunks:
            content.size += len(chunk)
            if content.size > self.max_bytes:
                raise self.describe_too_large()
            content.digest.update(chunk)
            buffer += chunk
            if len(buffer) >= PART_BYTES:
                yield bytes(buffer)
                buffer.clear()
        if buffer:
            yield bytes(buffer)

    async def _add(self, tenant_id: UUID, part: bytes, note: NotePart) -> None:
        part_id = uuid4()
        try:
            key_id = await self._spool.put(tenant_id, part_id, part)
            is_there = await note(part_id, key_id, len(part))
        except BaseException:
            with log_and_continue("video_part_not_discarded"):
                await self._spool.discard_later(self._database, tenant_id, part_id)
            raise
        if not is_there:
            await self._spool.delete(tenant_id, part_id)
            raise VideoNotFound("The video was erased while it arrived.")
