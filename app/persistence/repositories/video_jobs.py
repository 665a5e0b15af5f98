"""Jobs that look at videos of no album, and what they found."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from app.domain.faces import RelativeBox
from app.domain.video_jobs import JobFace, JobMatch, VideoJob, VideoJobKind, VideoJobOrder
from app.domain.videos import Sampling, VideoSource, VideoState
from app.persistence.connections.database import Database
from app.persistence.models import VideoJobFaceModel, VideoJobMatchModel, VideoJobModel, VideoModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.videos import describe_facts, describe_source

_ROWS = 5_000


class VideoJobRepository(TenantRepository):
    """One tenant's jobs. Their videos are rows of `videos` without a collection."""

    async def add(self, order: VideoJobOrder, source: VideoSource, sampling: Sampling, sender: str) -> UUID:
        """Add a job whose video waits to be copied; return its id, which is the video's."""
        video_id = uuid4()
        video = self._row(
            id=video_id,
            collection_id=None,
            external_id=source.address,
            state=VideoState.RECEIVED.value,
            per_second=sampling.per_second,
            keyframes_only=sampling.keyframes_only,
            max_minutes=sampling.max_minutes,
            source=source.address,
            source_version=source.version,
            sender=sender,
        )
        await self._session.execute(insert(VideoModel).values(video))
        job = self._row(
            video_id=video_id,
            kind=order.kind.value,
            collection=order.collection,
            collection_id=order.collection_id,
            min_similarity=order.min_similarity,
            tag=order.tag,
        )
        await self._session.execute(insert(VideoJobModel).values(job))
        return video_id

    async def find(self, job_id: UUID) -> VideoJob | None:
        columns: tuple[Any, ...] = (VideoJobModel, VideoModel)
        of_job = (VideoModel.id == VideoJobModel.video_id) & self._of_tenant(VideoModel)
        statement = select(*columns).where(self._of_tenant(VideoJobModel), VideoJobModel.video_id == job_id)
        statement = statement.join(VideoModel, of_job).execution_options(populate_existing=True)
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            return None
        job, video = row
        source = describe_source(video)
        assert source is not None  # as `add` writes it
        facts = describe_facts(video)
        return VideoJob(job_id, describe_order(job), source, VideoState(video.state), facts, video.code, video.detail)

    async def store(self, job_id: UUID, faces: Sequence[JobFace], matches: Sequence[JobMatch]) -> None:
        """Store what a job found."""
        for begin in range(0, len(faces), _ROWS):
            rows = [
                self._row(
                    video_id=job_id,
                    at_ms=one.at_ms,
                    person=one.person,
                    box=[one.box.left, one.box.top, one.box.width, one.box.height],
                    detection_score=one.detection_score,
                )
                for one in faces[begin : begin + _ROWS]
            ]
            await self._session.execute(insert(VideoJobFaceModel).on_conflict_do_nothing(), rows)
        rows = [
            self._row(video_id=job_id, person=one.person, face_id=one.face_id, similarity=one.similarity)
            for one in matches
        ]
        if rows:
            await self._session.execute(insert(VideoJobMatchModel), rows)

    async def list_faces(
        self, job_id: UUID, after: tuple[int, int] | None, limit: int, *, by_person: bool
    ) -> list[JobFace]:
        """List up to `limit` faces after a time and person: by time, or by person and then by time."""
        order = (VideoJobFaceModel.at_ms, VideoJobFaceModel.person)
        if by_person:
            order = order[::-1]
        statement = self._select(VideoJobFaceModel, VideoJobFaceModel.video_id == job_id)
        if after is not None:
            statement = statement.where(tuple_(*order) > tuple_(*(after[::-1] if by_person else after)))
        rows = await self._session.scalars(statement.order_by(*order).limit(limit))
        return [JobFace(row.at_ms, row.person, RelativeBox(*row.box), row.detection_score) for row in rows]

    async def list_matches(self, job_id: UUID, people: Collection[int]) -> list[JobMatch]:
        """List the matches of some people, most similar first."""
        wanted = (VideoJobMatchModel.video_id == job_id, VideoJobMatchModel.person.in_(people))
        statement = self._select(VideoJobMatchModel, *wanted)
        statement = statement.order_by(VideoJobMatchModel.similarity.desc(), VideoJobMatchModel.face_id)
        return [JobMatch(row.person, row.face_id, row.similarity) for row in await self._session.scalars(statement)]


def describe_order(row: VideoJobModel) -> VideoJobOrder:
    """Describe what is wanted of a video."""
    least = -1.0 if row.min_similarity is None else row.min_similarity
    return VideoJobOrder(VideoJobKind(row.kind), row.collection, row.collection_id, least, row.tag)


async def forget_video_jobs(database: Database) -> int:
    """Delete jobs that are older than seven days; return how many."""
    async with database.transaction() as session:
        return int(await session.scalar(text("SELECT vultus_forget_video_jobs()")) or 0)
