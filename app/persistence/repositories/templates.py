"""Templates: the stored faces. Embeddings go in here and come out only as similarities."""

from collections.abc import Sequence
from uuid import UUID

from app.domain import Embedding, Face, Template
from app.persistence.models import TemplateModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.galleries import GalleryRepository


class TemplateRepository(TenantRepository):
    """The templates of one tenant's subjects."""

    async def add_all(
        self,
        faces: Sequence[tuple[Face, Embedding]],
        *,
        collection_id: UUID,
        subject_id: UUID,
        recognizer: str,
        source: str,
    ) -> list[Template]:
        """Store faces of a subject, in their order; the next search finds them once this transaction is committed."""
        places = await GalleryRepository(self._session, self._tenant_id).take_places(
            collection_id, recognizer, len(faces)
        )
        rows = [
            TemplateModel(
                **self._row(
                    collection_id=collection_id, subject_id=subject_id, gallery_id=places.gallery_id, seq=seq,
                    recognizer=recognizer, embedding=embedding.tolist(), detection_score=face.detection_score,
                    quality=_describe_quality(face), source=source,
                )
            )
            for seq, (face, embedding) in zip(places, faces, strict=True)
        ]  # fmt: skip
        self._session.add_all(rows)
        await self._session.flush()
        return [_describe(row) for row in rows]

    async def list_page(self, subject_id: UUID, after: UUID | None, limit: int) -> list[Template]:
        """Up to `limit` templates of a subject behind the id `after`, by id."""
        statement = self._select(TemplateModel, TemplateModel.subject_id == subject_id).order_by(TemplateModel.id)
        if after is not None:
            statement = statement.where(TemplateModel.id > after)
        return [_describe(row) for row in await self._session.scalars(statement.limit(limit))]

    async def find(self, subject_id: UUID, template_id: UUID) -> Template | None:
        """One template of a subject."""
        row = await self._session.scalar(
            self._select(TemplateModel, TemplateModel.subject_id == subject_id, TemplateModel.id == template_id)
        )
        return _describe(row) if row is not None else None

    async def delete(self, subject_id: UUID, template_id: UUID) -> bool:
        """Erase one template; False if there is none."""
        statement = self._delete(
            TemplateModel, TemplateModel.subject_id == subject_id, TemplateModel.id == template_id
        ).returning(TemplateModel.id)
        return await self._session.scalar(statement) is not None


def _describe_quality(face: Face) -> dict[str, float]:
    return {
        "face_pixels": round(face.quality.face_pixels, 1),
        "sharpness": round(face.quality.sharpness, 1),
        "brightness": round(face.quality.brightness, 1),
        "yaw_deg": round(face.quality.yaw_deg, 1),
        "pitch_deg": round(face.quality.pitch_deg, 1),
        "roll_deg": round(face.quality.roll_deg, 1),
    }


def _describe(row: TemplateModel) -> Template:
    return Template(row.id, row.recognizer, row.detection_score, row.quality, row.source, row.created_at)
