"""Count the seconds of a video for its sender and toward the plan's quota, once, and take them back if it fails."""

from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import case, func

from app.domain.tenancy import UsageCount, UsageKey
from app.domain.video_jobs import VideoJobKind
from app.persistence.models import UsageModel, VideoJobModel, VideoModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.usage import THIS_MONTH
from app.persistence.repositories.usage_days import UsageDayRepository

_OPERATIONS = {
    None: "add_video",
    VideoJobKind.DETECTION: "rekognition.StartFaceDetection",
    VideoJobKind.SEARCH: "rekognition.StartFaceSearch",
}
"""The operations under which the calls that sent the videos are counted, too, by the kind of the job."""


class VideoMeterRepository(TenantRepository):
    """Counts one tenant's videos. Lock the video before; its counts stay locked until the commit."""

    async def count(self, video_id: UUID, seconds: int, quota: int | None) -> bool:
        """Count a video that begins to be processed; return False, and count nothing, beyond the quota."""
        used = case((UsageModel.video_month == THIS_MONTH, UsageModel.video_seconds), else_=0)
        allowed = [used + seconds <= quota] if quota is not None else []
        statement = self._update(UsageModel, *allowed).values(video_month=THIS_MONTH, video_seconds=used + seconds)
        if await self._session.scalar(statement.returning(UsageModel.tenant_id)) is None:
            return False
        await self._note(video_id, seconds)
        return True

    async def take_back(self, video_id: UUID) -> None:
        """Take back what was counted for a video that is not done after all."""
        video = await self._find(video_id)
        if video is None or not video.metered_s:
            return
        left = func.greatest(UsageModel.video_seconds - video.metered_s, 0)
        of_month = self._update(UsageModel, UsageModel.video_month == THIS_MONTH).values(video_seconds=left)
        await self._session.execute(of_month)
        await self._note(video_id, -video.metered_s)

    async def _note(self, video_id: UUID, seconds: int) -> None:
        """Add to the day on which the video was sent."""
        video = await self._find(video_id)
        assert video is not None  # locked by the caller
        values = {"metered_s": VideoModel.metered_s + seconds}
        await self._session.execute(self._update(VideoModel, VideoModel.id == video_id).values(values))
        kind = self._select(VideoJobModel, VideoJobModel.video_id == video_id).with_only_columns(VideoJobModel.kind)
        operation = _OPERATIONS[await self._session.scalar(kind)]
        key = UsageKey(video.received_at.astimezone(UTC).date(), operation, video.sender or "worker")
        await UsageDayRepository(self._session, self._tenant_id).add(key, UsageCount(0, 0, seconds))

    async def _find(self, video_id: UUID) -> Any:
        return await self._session.scalar(self._select(VideoModel, VideoModel.id == video_id))
