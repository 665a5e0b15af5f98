"""Templates: the stored faces. Embeddings go in here and come out only as similarities."""

from uuid import UUID

from app.domain import Embedding, Face, Template
from app.persistence.models import TemplateModel
from app.persistence.repositories.base import TenantRepository


class TemplateRepository(TenantRepository):
    """The templates of one tenant's subjects."""

    async def add(
        self, *, collection_id: UUID, subject_id: UUID, recognizer: str, embedding: Embedding, face: Face, source: str
    ) -> Template:
        """Store one face of a subject."""
        quality = {
            "face_pixels": round(face.quality.face_pixels, 1),
            "sharpness": round(face.quality.sharpness, 1),
            "brightness": round(face.quality.brightness, 1),
            "yaw_deg": round(face.quality.yaw_deg, 1),
            "pitch_deg": round(face.quality.pitch_deg, 1),
            "roll_deg": round(face.quality.roll_deg, 1),
        }
        row = TemplateModel(
            **self._row(
                collection_id=collection_id, subject_id=subject_id, recognizer=recognizer,
                embedding=embedding.tolist(), detection_score=face.detection_score, quality=quality, source=source,
            )
        )  # fmt: skip
        self._session.add(row)
        await self._session.flush()
        return _describe(row)

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


def _describe(row: TemplateModel) -> Template:
    return Template(row.id, row.recognizer, row.detection_score, row.quality, row.source, row.created_at)
