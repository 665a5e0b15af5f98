"""Videos that callers announce before they upload them to the bucket."""

from typing import Any, ClassVar
from uuid import UUID

from app.domain.videos import NewVideo
from app.persistence.connections.database import Database
from app.persistence.models import VideoModel
from app.persistence.repositories.announced import AnnouncedRepository, list_announced


class AnnouncedVideoRepository(AnnouncedRepository):
    """The announced videos of one tenant. Lock the album before its videos."""

    _model = VideoModel
    _without_object: ClassVar[dict[str, Any]] = {"parts": [], "key_ids": []}

    async def announce_again(self, video_id: UUID, new: NewVideo) -> None:
        """Announce a video again, with what is looked at and kept."""
        await self.renew(
            [video_id],
            per_second=new.sampling.per_second,
            keyframes_only=new.sampling.keyframes_only,
            max_minutes=new.sampling.max_minutes,
            keep=new.keep.value if new.keep else None,
        )


async def list_announced_videos(database: Database, limit: int) -> dict[UUID, list[UUID]]:
    """List up to `limit` announced videos of all tenants that were not looked for lately, by tenant."""
    return await list_announced(database, "vultus_announced_videos", limit)
