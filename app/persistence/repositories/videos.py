"""Videos of albums as callers see them: received part by part, listed and erased."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, Uuid, any_, case, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.domain.albums import Keep
from app.domain.videos import Sampling, Video, VideoFacts, VideoPosition, VideoSource, VideoState
from app.persistence.connections.database import Database
from app.persistence.models import CollectionModel, VideoModel, VideoStepModel
from app.persistence.repositories.base import TenantRepository

UPLOADING = "uploading"
"""The state of a video whose parts arrive; callers do not see it."""


@dataclass(frozen=True, slots=True)
class KnownVideo:
    """A video that an album has under some id: its state, the digest of its content, and where it lies elsewhere."""

    id: UUID
    state: str
    digest: bytes | None
    source: VideoSource | None


class VideoRepository(TenantRepository):
    """One tenant's videos. Lock the album before its videos."""

    async def begin(
        self,
        collection_id: UUID,
        external_id: str,
        sampling: Sampling,
        keep: Keep | None = None,
        *,
        sender: str | None = None,
        state: str = UPLOADING,
        source: VideoSource | None = None,
    ) -> UUID | None:
        """Add a video whose content will arrive; return its id, or None if the album has one with this external id."""
        video_id = uuid4()
        uploaded = [video_id] if state == VideoState.ANNOUNCED else []
        row = self._row(
            id=video_id,
            state=state,
            parts=uploaded,
            key_ids=[""] * len(uploaded),
            source=source.address if source else None,
            source_version=source.version if source else None,
            collection_id=collection_id,
            external_id=external_id,
            per_second=sampling.per_second,
            keyframes_only=sampling.keyframes_only,
            max_minutes=sampling.max_minutes,
            keep=keep.value if keep else None,
            sender=sender,
        )
        statement = insert(VideoModel).values(row).on_conflict_do_nothing().returning(VideoModel.id)
        created: UUID | None = await self._session.scalar(statement)
        return created

    async def add_part(self, video_id: UUID, part: UUID, key_id: str, size: int) -> bool:
        """Note the next part of a video; return False if the video was erased meanwhile."""
        statement = self._update(VideoModel, VideoModel.id == video_id, VideoModel.state == UPLOADING).values(
            parts=func.array_append(VideoModel.parts, part),
            key_ids=func.array_append(VideoModel.key_ids, key_id),
            size=VideoModel.size + size,
            changed_at=func.now(),
        )
        return await self._session.scalar(statement.returning(VideoModel.id)) is not None

    async def receive(self, video_id: UUID, digest: bytes) -> bool:
        """Note that all parts of a video are there; return False if it was erased meanwhile."""
        statement = self._update(VideoModel, VideoModel.id == video_id, VideoModel.state == UPLOADING).values(
            state=VideoState.RECEIVED.value, digest=digest, received_at=func.now()
        )
        return await self._session.scalar(statement.returning(VideoModel.id)) is not None

    async def find_known(self, collection_id: UUID, external_id: str) -> KnownVideo | None:
        """Lock and return the video of an album."""
        conditions = (VideoModel.collection_id == collection_id, VideoModel.external_id == external_id)
        row = await self._session.scalar(self._select(VideoModel, *conditions).with_for_update())
        return KnownVideo(row.id, row.state, row.digest, describe_source(row)) if row is not None else None

    async def find(self, video_id: UUID) -> Video | None:
        rows = await self._read(VideoModel.id == video_id, limit=1)
        return rows[0] if rows else None

    async def list_page(
        self, collection_id: UUID | None, state: VideoState | None, after: int | None, limit: int
    ) -> list[Video]:
        """List up to `limit` videos after a sequence number, in the order of arrival; of one album, or of all."""
        conditions: list[ColumnElement[bool]] = []
        if collection_id is not None:
            conditions.append(VideoModel.collection_id == collection_id)
        if state is not None:
            conditions.append(VideoModel.state == state.value)
        if after is not None:
            conditions.append(VideoModel.seq > after)
        return await self._read(*conditions, limit=limit)

    async def filter_ids(self, ids: Collection[UUID]) -> set[UUID]:
        """Return which of these ids are those of videos."""
        statement = self._select(VideoModel, VideoModel.id == any_(cast(list(ids), ARRAY(Uuid))))
        return set(await self._session.scalars(statement.with_only_columns(VideoModel.id)))

    async def count_unfinished(self, limit: int) -> int:
        """Count the tenant's videos that are not finished, up to `limit`."""
        unfinished = VideoModel.state.not_in([VideoState.DONE.value, VideoState.FAILED.value])
        rows = select(VideoModel.id).where(self._of_tenant(VideoModel), unfinished).limit(limit).subquery()
        return await self._session.scalar(select(func.count()).select_from(rows)) or 0

    async def delete(self, video_id: UUID) -> None:
        """Delete a video; erase its faces before. A trigger discards its parts."""
        await self._session.execute(self._delete(VideoModel, VideoModel.id == video_id))

    async def _read(self, *conditions: ColumnElement[bool], limit: int) -> list[Video]:
        statement = self._described(*conditions).order_by(VideoModel.seq).limit(limit)
        return [_describe(*row) for row in await self._session.execute(statement)]

    def _described(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        of_album = (CollectionModel.id == VideoModel.collection_id) & self._of_tenant(CollectionModel)
        length = VideoStepModel.end_ms - VideoStepModel.begin_ms
        done = (
            select(func.coalesce(func.sum(case((VideoStepModel.state == "done", length), else_=0)), 0))
            .where(self._of_tenant(VideoStepModel), VideoStepModel.video_id == VideoModel.id)
            .correlate(VideoModel)
            .scalar_subquery()
        )
        columns: tuple[Any, ...] = (VideoModel, CollectionModel.name, done)
        is_visible = VideoModel.state != UPLOADING
        statement = select(*columns).where(self._of_tenant(VideoModel), is_visible, *conditions)
        return statement.join(CollectionModel, of_album).execution_options(populate_existing=True)


def describe_source(row: VideoModel) -> VideoSource | None:
    """Return where a video lies in the tenant's own object store."""
    return VideoSource.parse(row.source, row.source_version) if row.source is not None else None


def describe_facts(row: VideoModel) -> VideoFacts | None:
    """Return what is known of a video since a worker has looked at it."""
    if row.duration_ms is None:
        return None
    return VideoFacts(row.width or 0, row.height or 0, row.duration_ms, row.frames_per_second or 0.0, row.codec or "")


def _describe(row: VideoModel, album: str, position_ms: int) -> Video:
    assert row.collection_id is not None  # joined with it
    return Video(
        row.id,
        row.collection_id,
        album,
        row.external_id,
        row.seq,
        VideoState(row.state),
        Sampling(row.per_second, row.keyframes_only, row.max_minutes),
        row.received_at,
        row.finished_at,
        describe_facts(row),
        int(position_ms),
        row.people,
        row.code,
        row.detail,
    )


async def follow_videos(database: Database, watched: list[tuple[UUID, UUID]]) -> dict[UUID, VideoPosition]:
    """Return how far videos of any tenants are, given as tenant and video ids, in one statement.

    A video that does not exist anymore is missing.
    """
    statement = text("SELECT * FROM vultus_follow_videos(CAST(:tenants AS uuid[]), CAST(:videos AS uuid[]))")
    values = {"tenants": [tenant for tenant, _ in watched], "videos": [video for _, video in watched]}
    async with database.transaction() as session:
        rows = (await session.execute(statement, values)).all()
    return {row.video: _describe_position(row) for row in rows}


def _describe_position(row: Any) -> VideoPosition:
    position = row.position_ms if row.duration_ms is None else min(row.position_ms, row.duration_ms)
    return VideoPosition(VideoState(row.state), position, row.duration_ms, row.people, row.code)
