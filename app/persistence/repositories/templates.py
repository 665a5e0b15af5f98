"""Templates: the stored faces. Embeddings go in here and come out only as similarities."""

import json
from collections.abc import Sequence
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Double, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.domain import Embedding, Face, Template
from app.persistence.models import TemplateModel
from app.persistence.repositories.base import TenantRepository

# One round trip. The gallery's row is locked by the upsert until the transaction ends, and every template up to its
# `last_seq` was stored under that lock: places become visible in their order, which lets a search hold what is stored
# up to one place and read only what came after it.
_STORE = text("""
WITH place AS (
    INSERT INTO galleries (tenant_id, id, collection_id, recognizer, templates, last_seq)
    VALUES (:tenant_id, :gallery_id, :collection_id, :recognizer, :count, :count)
    ON CONFLICT (tenant_id, collection_id, recognizer) DO UPDATE
    SET templates = galleries.templates + excluded.templates, last_seq = galleries.last_seq + excluded.last_seq
    RETURNING id, last_seq
)
INSERT INTO templates (
    tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality, source
)
SELECT :tenant_id, given.id, :collection_id, :subject_id, place.id, place.last_seq - :count + given.ordinal,
       :recognizer, CAST(given.embedding AS halfvec), given.score, CAST(given.quality AS jsonb), :source
FROM place, unnest(:ids, :embeddings, :scores, :qualities) WITH ORDINALITY AS given(
    id, embedding, score, quality, ordinal)
RETURNING id, recognizer, detection_score, quality, source, created_at
""").bindparams(
    bindparam("tenant_id", type_=Uuid), bindparam("gallery_id", type_=Uuid), bindparam("collection_id", type_=Uuid),
    bindparam("subject_id", type_=Uuid), bindparam("recognizer", type_=Text), bindparam("source", type_=Text),
    bindparam("count", type_=BigInteger), bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("embeddings", type_=ARRAY(Text)), bindparam("scores", type_=ARRAY(Double)),
    bindparam("qualities", type_=ARRAY(Text)),
)  # fmt: skip


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
        given = [(uuid4(), face, embedding) for face, embedding in faces]
        rows = await self._session.execute(
            _STORE,
            self._row(
                gallery_id=uuid4(), collection_id=collection_id, subject_id=subject_id, recognizer=recognizer,
                source=source, count=len(given), ids=[one for one, _, _ in given],
                embeddings=[_literal(embedding) for _, _, embedding in given],
                scores=[face.detection_score for _, face, _ in given],
                qualities=[json.dumps(_describe_quality(face)) for _, face, _ in given],
            ),
        )  # fmt: skip
        stored = {row.id: Template(*row) for row in rows}
        return [stored[one] for one, _, _ in given]

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


def _literal(embedding: Embedding) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in embedding.tolist()) + "]"


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
