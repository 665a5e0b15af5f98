"""Add videos to a caller's albums, whichever way their content will arrive."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from app.domain.videos import NewVideo, VideoSource, VideoState
from app.errors import TooManyVideosWaiting, VideoExists, VideoTooLarge
from app.permissions import Principal
from app.persistence.connections.database import Transaction
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.videos import UPLOADING, KnownVideo, VideoRepository

WITHOUT_CONTENT: frozenset[str] = frozenset({VideoState.FAILED.value, VideoState.ANNOUNCED.value, UPLOADING})
"""States of a video that another one with the same id replaces: it has no faces."""


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The largest video in bytes, and how many videos of a tenant may be unfinished."""

    max_bytes: int
    max_waiting: int

    def check_size(self, size: int | None) -> None:
        """Raise `VideoTooLarge` for a video of more bytes; None: nobody knows."""
        if size is not None and size > self.max_bytes:
            raise VideoTooLarge(f"The video has {size} bytes; at most {self.max_bytes} are allowed.")


@dataclass(frozen=True, slots=True)
class ReceivedVideo:
    """The id of a received video, and whether this call added it: the same video sent again is not added twice."""

    id: UUID
    is_new: bool


async def admit(
    session: Transaction,
    principal: Principal,
    limits: VideoLimits,
    new: NewVideo,
    *,
    state: str,
    source: VideoSource | None = None,
    replaced: Collection[str] = WITHOUT_CONTENT,
) -> "UUID | KnownVideo":
    """Add a video in a state and return its id; or the one that the album has under this id.

    One in a `replaced` state is deleted. Raises `AlbumNotFound`, `AlbumClosed`, `TooManyVideosWaiting`, or
    `VideoExists` if two calls add it at the same time.
    """
    tenant_id = principal.tenant_id
    album = await AlbumRepository(session, tenant_id, principal.collections).get_open(new.album)
    videos = VideoRepository(session, tenant_id)
    known = await videos.find_known(album.collection_id, new.external_id)
    if known is not None:
        if known.state not in replaced:
            return known
        await videos.delete(known.id)
    await check_waiting(videos, limits)
    begun = await videos.begin(
        album.collection_id,
        new.external_id,
        new.sampling,
        new.keep,
        sender=principal.name,
        state=state,
        source=source,
    )
    if begun is None:
        raise VideoExists(
            f"external_id: {new.external_id!r} was sent twice at the same time; send it again.", field="external_id"
        )
    return begun


async def check_waiting(videos: VideoRepository, limits: VideoLimits) -> None:
    """Raise `TooManyVideosWaiting` if as many of the tenant's videos are unfinished as may be."""
    limit = limits.max_waiting
    if await videos.count_unfinished(limit) >= limit:
        raise TooManyVideosWaiting(
            f"{limit} of your videos wait to be processed, which is the limit. Send more when some are done.",
            retry_after_s=60,
        )


def has_another(external_id: str) -> VideoExists:
    """Describe that the album has another video with the same id."""
    return VideoExists(
        f"external_id: the album has another video {external_id!r}; delete it first, or choose another id.",
        field="external_id",
    )
