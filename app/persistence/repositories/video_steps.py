"""The steps of videos as workers see them: taken under a lease, finished, given back or lost.

A video has one step that looks at it, one for each part of it, and one that joins what they saw. A worker may finish a
step only while it holds its lease. A step whose lease was lost five times fails the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from app.domain.albums import Keep
from app.domain.video_jobs import VideoJobOrder
from app.domain.videos import Sampling, VideoFacts, VideoSource, VideoState
from app.errors import PhotoHarmful
from app.persistence.connections.database import Database
from app.persistence.models import AlbumModel, CollectionModel, VideoJobModel, VideoModel, VideoStepModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.video_jobs import describe_order
from app.persistence.repositories.videos import UPLOADING, describe_source

FETCH_NUMBER = -1
"""The number of the step that copies a video; the one that looks at it has 0."""
MAX_ATTEMPTS = 5
"""More than for photos: a step takes seconds, so restarts of a worker hit the same one more often."""
_WAITING, _WORKING, _DONE = "waiting", "working", "done"


class StepKind(StrEnum):
    """What is done in a step."""

    FETCH = "fetch"
    """Copy a video that was uploaded to the bucket, or lies in the tenant's own object store."""
    LOOK = "look"
    """Read the container and plan the other steps."""
    WATCH = "watch"
    """Find the faces of a part."""
    JOIN = "join"
    """Say who is whom in the whole video, and store it."""


@dataclass(frozen=True, slots=True)
class VideoStep:
    """A step that a worker has taken, with what it needs to do it."""

    video_id: UUID
    number: int
    kind: StepKind
    begin_ms: int
    end_ms: int
    collection_id: UUID | None
    album: str
    """The name of the album, or of the collection that a job searches; empty for a job that searches none."""
    external_id: str
    sampling: Sampling
    keep: Keep
    source: VideoSource | None
    parts: Sequence[UUID]
    key_ids: Sequence[str]
    duration_ms: int | None
    attempts: int
    lease: UUID = field(repr=False)
    job: VideoJobOrder | None = None
    """What is wanted of a video that belongs to no album."""
    traceparent: str | None = None
    """The trace of the upload."""


class VideoStepRepository(TenantRepository):
    """One tenant's steps."""

    async def add(self, video_id: UUID, number: int, kind: StepKind, begin_ms: int = 0, end_ms: int = 0) -> None:
        """Add a step that waits."""
        row = self._row(video_id=video_id, number=number, kind=kind.value, begin_ms=begin_ms, end_ms=end_ms)
        await self._session.execute(insert(VideoStepModel).values(row).on_conflict_do_nothing())

    async def give_back_lost(self) -> list[UUID]:
        """Let steps of lost leases wait again; return the videos with a step that was lost too often."""
        is_lost = (VideoStepModel.state == _WORKING) & (VideoStepModel.leased_until < func.now())
        lost = self._select(VideoStepModel, is_lost).with_for_update(skip_locked=True)
        poisoned = []
        for step in await self._session.scalars(lost):
            step.state, step.lease, step.leased_until = _WAITING, None, None
            step.waiting_since = func.now()
            if step.attempts >= MAX_ATTEMPTS:
                poisoned.append(step.video_id)
        await self._session.flush()
        return poisoned

    async def take(self, lease: UUID, lease_s: float) -> VideoStep | None:
        """Take the oldest waiting step, and count the attempt; None if none waits."""
        waiting = self._select(VideoStepModel, VideoStepModel.state == _WAITING)
        waiting = waiting.order_by(VideoStepModel.attempts > 0, VideoStepModel.waiting_since, VideoStepModel.number)
        step = await self._session.scalar(waiting.limit(1).with_for_update(skip_locked=True))
        if step is None:
            return None
        step.state, step.lease, step.attempts = _WORKING, lease, step.attempts + 1
        step.leased_until = func.now() + timedelta(seconds=lease_s)
        await self._session.flush()
        video, album, keep, job = await self._read_video(step.video_id)
        order = describe_order(job) if job is not None else None
        return VideoStep(
            step.video_id,
            step.number,
            StepKind(step.kind),
            step.begin_ms,
            step.end_ms,
            video.collection_id,
            album or (order.collection if order else None) or "",
            video.external_id,
            Sampling(video.per_second, video.keyframes_only, video.max_minutes),
            Keep(video.keep or keep or Keep.NOTHING),
            describe_source(video),
            video.parts,
            video.key_ids,
            video.duration_ms,
            step.attempts,
            lease,
            order,
            video.traceparent,
        )

    async def _read_video(self, video_id: UUID) -> Any:
        """Read a video with the name of its album and what that keeps, or with its job."""
        of_album = (CollectionModel.id == VideoModel.collection_id) & self._of_tenant(CollectionModel)
        has_keep = (AlbumModel.collection_id == VideoModel.collection_id) & self._of_tenant(AlbumModel)
        of_job = (VideoJobModel.video_id == VideoModel.id) & self._of_tenant(VideoJobModel)
        columns: tuple[Any, ...] = (VideoModel, CollectionModel.name, AlbumModel.keep, VideoJobModel)
        statement = select(*columns).where(self._of_tenant(VideoModel), VideoModel.id == video_id)
        statement = statement.outerjoin(CollectionModel, of_album).outerjoin(AlbumModel, has_keep)
        return (await self._session.execute(statement.outerjoin(VideoJobModel, of_job))).one()

    async def has_waiting(self) -> bool:
        """Return whether steps wait."""
        waiting = self._select(VideoStepModel, VideoStepModel.state == _WAITING).limit(1)
        return await self._session.scalar(waiting) is not None

    async def renew(self, step: VideoStep, lease_s: float) -> None:
        """Extend the lease of a step."""
        until = func.now() + timedelta(seconds=lease_s)
        await self._session.execute(self._held(step).values(leased_until=until))

    async def holds(self, step: VideoStep) -> bool:
        """Return whether the lease of a step is still valid, and lock the step."""
        conditions = (VideoStepModel.video_id == step.video_id, VideoStepModel.number == step.number)
        held = self._select(VideoStepModel, *conditions, VideoStepModel.lease == step.lease)
        return await self._session.scalar(held.with_for_update()) is not None

    async def finish(self, step: VideoStep) -> bool:
        """Note that a step is done; return False if the lease was lost or the video erased."""
        statement = self._held(step).values(state=_DONE, lease=None, leased_until=None)
        return await self._session.scalar(statement.returning(VideoStepModel.number)) is not None

    async def give_back(self, step: VideoStep, *, counts: bool) -> None:
        """Let a step wait again; unless it `counts` as a try, it was begun for nothing."""
        begun = VideoStepModel.attempts
        values = {
            "state": _WAITING,
            "attempts": begun if counts else func.greatest(begun - 1, 0),
            "lease": None,
            "leased_until": None,
            "waiting_since": func.now(),
        }
        await self._session.execute(self._held(step).values(values))

    async def count_open(self, video_id: UUID) -> int:
        """Count the steps of a video that are not done. Lock the video before, so that one worker sees the last."""
        is_open = VideoStepModel.state != _DONE
        counted = select(func.count()).where(
            self._of_tenant(VideoStepModel), VideoStepModel.video_id == video_id, is_open
        )
        return await self._session.scalar(counted) or 0

    async def lock_video(self, video_id: UUID) -> bool:
        """Lock a video; return False if it was erased or has ended."""
        statement = self._select(VideoModel, VideoModel.id == video_id).with_for_update()
        row = await self._session.scalar(statement)
        return row is not None and row.state not in (VideoState.DONE.value, VideoState.FAILED.value)

    async def plan(self, video_id: UUID, facts: VideoFacts) -> None:
        """Note what a video is, and that it is being processed."""
        values = {
            "state": VideoState.WORKING.value,
            "width": facts.width,
            "height": facts.height,
            "duration_ms": facts.duration_ms,
            "frames_per_second": facts.frames_per_second,
            "codec": facts.codec,
        }
        await self._session.execute(self._update(VideoModel, VideoModel.id == video_id).values(values))

    async def end(self, video_id: UUID, state: VideoState, **values: Any) -> None:
        """End a video: it leaves the spool, and its steps are done. `values` are `people`, `code` and `detail`."""
        await self._session.execute(
            self._update(VideoModel, VideoModel.id == video_id).values(
                state=state.value, parts=[], key_ids=[], finished_at=func.now(), **values
            )
        )
        steps = self._update(VideoStepModel, VideoStepModel.video_id == video_id)
        await self._session.execute(steps.values(state=_DONE, lease=None, leased_until=None))

    async def end_poisoned(self, video_ids: Sequence[UUID]) -> None:
        """End videos whose processing was cut off too often."""
        detail = f"Its processing was cut off {MAX_ATTEMPTS} times. The video may be harmful."
        for video_id in video_ids:
            await self.end(video_id, VideoState.FAILED, code=PhotoHarmful.code, detail=detail)

    async def forget_abandoned(self) -> None:
        """Delete videos whose upload ended in the middle an hour ago."""
        is_old = VideoModel.changed_at < func.now() - timedelta(hours=1)
        await self._session.execute(self._delete(VideoModel, VideoModel.state == UPLOADING, is_old))

    def _held(self, step: VideoStep) -> Any:
        return self._update(
            VideoStepModel,
            VideoStepModel.video_id == step.video_id,
            VideoStepModel.number == step.number,
            VideoStepModel.lease == step.lease,
            VideoStepModel.state == _WORKING,
        )


async def find_tenants_with_lost_videos(database: Database, grace_s: float) -> list[UUID]:
    """Find tenants whose videos would wait for ever: leases ran out, steps have no job, or uploads were abandoned."""
    async with database.transaction() as session:
        rows = await session.scalars(text("SELECT vultus_tenants_with_lost_videos(:grace_s)"), {"grace_s": grace_s})
        return list(rows)
