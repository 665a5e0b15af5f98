"""Who appears in videos: what each step saw, and in the end the people of the whole video."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, any_, cast, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.domain.faces import RelativeBox
from app.domain.videos import Appearance, Interval
from app.persistence.models import AppearanceFaceModel, AppearanceModel, SightingModel
from app.persistence.repositories.base import TenantRepository


@dataclass(frozen=True, slots=True)
class SeenStrand:
    """What a step saw of somebody; `faces` are encrypted under the service key `key_id`."""

    id: UUID
    interval: Interval
    best_ms: int
    box: RelativeBox
    frames: int
    key_id: str
    faces: bytes = field(repr=False)


class AppearanceRepository(TenantRepository):
    """One tenant's appearances."""

    async def add_strands(self, video_id: UUID, step: int, strands: Sequence[SeenStrand]) -> None:
        """Add what a step saw, in place of what an earlier try of it saw."""
        of_step = (AppearanceModel.video_id == video_id, AppearanceModel.step == step)
        await self._session.execute(self._delete(AppearanceModel, *of_step))
        rows = [
            self._row(
                id=one.id,
                video_id=video_id,
                step=step,
                begins_ms=[one.interval.begin_ms],
                ends_ms=[one.interval.end_ms],
                best_ms=one.best_ms,
                box=_corners(one.box),
                frames=one.frames,
                key_id=one.key_id,
                faces=one.faces,
            )
            for one in strands
        ]
        if rows:
            await self._session.execute(insert(AppearanceModel), rows)

    async def list_strands(self, video_id: UUID) -> list[SeenStrand]:
        """List what the steps of a video saw, in the order of time."""
        statement = self._select(
            AppearanceModel, AppearanceModel.video_id == video_id, AppearanceModel.faces.is_not(None)
        ).order_by(AppearanceModel.step, AppearanceModel.best_ms, AppearanceModel.id)
        return [
            SeenStrand(
                row.id,
                Interval(row.begins_ms[0], row.ends_ms[0]),
                row.best_ms,
                RelativeBox(*row.box),
                row.frames,
                row.key_id or "",
                row.faces or b"",
            )
            for row in await self._session.scalars(statement)
        ]

    async def replace_strands(self, appearances: Sequence[Appearance], video_id: UUID) -> None:
        """Write who appears in a video in place of what its steps saw."""
        await self._session.execute(self._delete(AppearanceModel, AppearanceModel.video_id == video_id))
        rows = [
            self._row(
                id=one.id,
                video_id=one.video_id,
                face_id=one.face_ids[0],
                begins_ms=[interval.begin_ms for interval in one.intervals],
                ends_ms=[interval.end_ms for interval in one.intervals],
                best_ms=one.best_ms,
                box=_corners(one.box),
                frames=one.frames,
            )
            for one in appearances
        ]
        if rows:
            await self._session.execute(insert(AppearanceModel), rows)
            faces = [(face_id, one.id) for one in appearances for face_id in one.face_ids]
            await self._session.execute(
                insert(AppearanceFaceModel),
                [self._row(face_id=face_id, appearance_id=appearance_id) for face_id, appearance_id in faces],
            )

    async def list_by_video(self, video_id: UUID) -> list[Appearance]:
        """List who appears in a video, those seen most often first."""
        statement = self._select(
            AppearanceModel, AppearanceModel.video_id == video_id, AppearanceModel.face_id.is_not(None)
        ).order_by(AppearanceModel.frames.desc(), AppearanceModel.id)
        return await self._describe(list(await self._session.scalars(statement)))

    async def list_by_faces(self, face_ids: Collection[UUID]) -> list[Appearance]:
        """List the appearances of stored faces."""
        is_asked = AppearanceFaceModel.face_id == any_(cast(list(face_ids), ARRAY(Uuid)))
        ids = self._select(AppearanceFaceModel, is_asked).with_only_columns(AppearanceFaceModel.appearance_id)
        statement = self._select(AppearanceModel, AppearanceModel.id.in_(ids))
        return await self._describe(list(await self._session.scalars(statement)))

    async def list_by_subject(self, subject_id: UUID, after: int | None, limit: int) -> list[tuple[int, Appearance]]:
        """List up to `limit` appearances that match a subject, with their sightings' sequence numbers, oldest first."""
        of_face = (SightingModel.face_id == AppearanceModel.face_id) & self._of_tenant(SightingModel)
        columns: tuple[Any, ...] = (AppearanceModel, SightingModel.seq)
        statement = select(*columns).where(self._of_tenant(AppearanceModel), SightingModel.subject_id == subject_id)
        if after is not None:
            statement = statement.where(SightingModel.seq > after)
        statement = statement.join(SightingModel, of_face).order_by(SightingModel.seq).limit(limit)
        rows = (await self._session.execute(statement)).all()
        described = await self._describe([row for row, _ in rows])
        return [(seq, one) for (_, seq), one in zip(rows, described, strict=True)]

    async def _describe(self, rows: Sequence[AppearanceModel]) -> list[Appearance]:
        """Describe rows with their stored faces, the best first."""
        is_asked = AppearanceFaceModel.appearance_id == any_(cast([row.id for row in rows], ARRAY(Uuid)))
        faces: dict[UUID, list[UUID]] = {row.id: [] for row in rows}
        for face in await self._session.scalars(self._select(AppearanceFaceModel, is_asked)):
            faces[face.appearance_id].append(face.face_id)
        return [_describe(row, faces[row.id]) for row in rows]


def _corners(box: RelativeBox) -> list[float]:
    return [box.left, box.top, box.width, box.height]


def _describe(row: AppearanceModel, face_ids: Sequence[UUID]) -> Appearance:
    assert row.face_id is not None  # only what steps saw has none
    others = sorted(face_id for face_id in face_ids if face_id != row.face_id)
    intervals = tuple(Interval(begin, end) for begin, end in zip(row.begins_ms, row.ends_ms, strict=True))
    return Appearance(
        row.id, row.video_id, (row.face_id, *others), intervals, row.best_ms, RelativeBox(*row.box), row.frames
    )
