"""Videos whose content a worker copies into the spool, under the lease of the step that does so."""

from uuid import UUID

from sqlalchemy import func

from app.persistence.models import VideoModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.video_steps import VideoStep, VideoStepRepository


class FetchedVideoRepository(TenantRepository):
    """One tenant's videos while they are copied. Parts that leave a video's list are discarded by a trigger."""

    async def begin(self, step: VideoStep) -> None:
        """Begin with no part but the object that the caller uploaded, if there is one."""
        if await self._is_held(step):
            uploaded = [] if step.source is not None else [step.video_id]
            await self._change(step, parts=uploaded, key_ids=[""] * len(uploaded), size=0)

    async def add_part(self, step: VideoStep, part: UUID, key_id: str, size: int) -> bool:
        """Note the next part; return False if the video was erased or the lease was lost."""
        if not await self._is_held(step):
            return False
        await self._change(
            step,
            parts=func.array_append(VideoModel.parts, part),
            key_ids=func.array_append(VideoModel.key_ids, key_id),
            size=VideoModel.size + size,
        )
        return True

    async def finish(self, step: VideoStep, digest: bytes) -> None:
        """Note that all parts are there; the object that the caller uploaded leaves the bucket."""
        await self._change(
            step,
            parts=func.array_remove(VideoModel.parts, step.video_id),
            key_ids=func.array_remove(VideoModel.key_ids, ""),
            digest=digest,
        )

    async def _is_held(self, step: VideoStep) -> bool:
        steps = VideoStepRepository(self._session, self._tenant_id)
        return await steps.lock_video(step.video_id) and await steps.holds(step)

    async def _change(self, step: VideoStep, **values: object) -> None:
        await self._session.execute(self._update(VideoModel, VideoModel.id == step.video_id).values(**values))
