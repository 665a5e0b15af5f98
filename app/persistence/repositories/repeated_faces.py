"""Find the faces that a subject has from a photo already, so that the same photo is not stored twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import or_

from app.domain.people import FaceOrigin
from app.persistence.models import TemplateModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.templates import describe_origin


@dataclass(frozen=True, slots=True)
class StoredPhotoFace:
    """A stored face of a subject, and where in which photo it was."""

    id: UUID
    origin: FaceOrigin
    detection_score: float
    has_score: bool
    """Whether its quality score is known."""


class RepeatedFaceRepository(TenantRepository):
    """Reads one tenant's stored faces by photo, and adds what was unknown when they were stored."""

    async def list_like(
        self, subject_id: UUID, digests: Sequence[bytes], detection_scores: Sequence[float]
    ) -> list[StoredPhotoFace]:
        """List a subject's faces that have one of these photo digests or one of these detection scores."""
        scores = TemplateModel.detection_score.in_(list(detection_scores))
        statement = self._select(
            TemplateModel,
            TemplateModel.subject_id == subject_id,
            TemplateModel.box.is_not(None),
            or_(TemplateModel.image_digest.in_(list(digests)), scores),
        ).order_by(TemplateModel.id, TemplateModel.gallery_id)
        by_face: dict[UUID, list[TemplateModel]] = {}
        for row in await self._session.scalars(statement):
            by_face.setdefault(row.id, []).append(row)
        return [_describe(rows) for rows in by_face.values()]

    async def rate(self, face_id: UUID, quality: Mapping[str, float]) -> None:
        """Store a face's quality."""
        await self._change(face_id, {"quality": dict(quality)})

    async def name_photo(self, face_id: UUID, external_image_id: str) -> None:
        """Store the caller's id for a face's photo."""
        await self._change(face_id, {"external_image_id": external_image_id})

    async def _change(self, face_id: UUID, values: Mapping[str, object]) -> None:
        """Change a face's templates. They get new sequence numbers, so that caches read them again."""
        statement = self._select(TemplateModel, TemplateModel.id == face_id).order_by(TemplateModel.recognizer)
        for row in list(await self._session.scalars(statement)):
            (seq,) = await self._reserve_seqs(row.gallery_id, 1)
            update = self._update(
                TemplateModel, TemplateModel.id == face_id, TemplateModel.gallery_id == row.gallery_id
            )
            await self._session.execute(update.values(**values, seq=seq))


def _describe(rows: Sequence[TemplateModel]) -> StoredPhotoFace:
    first = rows[0]
    return StoredPhotoFace(
        first.id,
        describe_origin(first),
        first.detection_score,
        all("score" in row.quality for row in rows),
    )
