"""Templates: the stored faces. Embeddings go in here and come out only as similarities."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import BigInteger, Double, Integer, LargeBinary, Text, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from app.domain import Embedding, ExportedFace, Face, FaceOrigin, RelativeBox, Template
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import GalleryModel, TemplateModel
from app.persistence.protector import TemplateProtector
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.protections import ProtectionRepository

# One round trip. The gallery's row is locked by the upsert until the transaction ends, and every template up to its
# `last_seq` was stored under that lock: places become visible in their order, which lets a search hold what is stored
# up to one place and read only what came after it. Nothing is stored where the gallery's protection is another by now.
_STORE = text("""
WITH place AS (
    INSERT INTO galleries (tenant_id, id, collection_id, recognizer, templates, last_seq, generation)
    VALUES (:tenant_id, :gallery_id, :collection_id, :recognizer, :count, :count, :generation)
    ON CONFLICT (tenant_id, collection_id, recognizer) DO UPDATE
    SET templates = galleries.templates + excluded.templates, last_seq = galleries.last_seq + excluded.last_seq
    WHERE galleries.generation = excluded.generation
    RETURNING id, last_seq
)
INSERT INTO templates (
    tenant_id, id, collection_id, subject_id, gallery_id, seq, recognizer, embedding, detection_score, quality, source,
    image_id, external_image_id, box, image_digest
)
SELECT :tenant_id, given.id, :collection_id, given.subject_id, place.id, place.last_seq - :count + given.ordinal,
       :recognizer, CAST(given.embedding AS halfvec), given.score, CAST(given.quality AS jsonb), :source,
       given.image_id, given.external_image_id, CAST(given.box AS double precision[]), given.image_digest
FROM place, unnest(:ids, :subject_ids, :embeddings, :scores, :qualities, :image_ids, :external_image_ids, :boxes,
                   :image_digests) WITH ORDINALITY AS given(
    id, subject_id, embedding, score, quality, image_id, external_image_id, box, image_digest, ordinal)
RETURNING id, recognizer, detection_score, quality, source, created_at
""").bindparams(
    bindparam("tenant_id", type_=Uuid), bindparam("gallery_id", type_=Uuid), bindparam("collection_id", type_=Uuid),
    bindparam("subject_ids", type_=ARRAY(Uuid)), bindparam("recognizer", type_=Text), bindparam("source", type_=Text),
    bindparam("count", type_=BigInteger), bindparam("generation", type_=Integer), bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("embeddings", type_=ARRAY(Text)), bindparam("scores", type_=ARRAY(Double)),
    bindparam("qualities", type_=ARRAY(Text)), bindparam("image_ids", type_=ARRAY(Uuid)),
    bindparam("external_image_ids", type_=ARRAY(Text)), bindparam("boxes", type_=ARRAY(Text)),
    bindparam("image_digests", type_=ARRAY(LargeBinary)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face to store, and whose it is."""

    subject_id: UUID
    embedding: Embedding = field(repr=False)
    detection_score: float
    quality: dict[str, float]
    origin: FaceOrigin | None = None
    id: UUID = field(default_factory=uuid4)

    @classmethod
    def of(cls, subject_id: UUID, face: Face, embedding: Embedding, origin: FaceOrigin | None = None) -> "NewFace":
        """A face that was just found in an image."""
        return cls(subject_id, embedding, face.detection_score, _describe_quality(face), origin)


class TemplateStore(TenantRepository):
    """Where one tenant's faces are stored: the one way in, and it protects them."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, protector: TemplateProtector) -> None:
        super().__init__(session, tenant_id)
        self._protector = protector
        self._protections = ProtectionRepository(session, tenant_id)

    async def add_all(
        self, faces: Sequence[NewFace], *, collection_id: UUID, recognizer: str, source: str
    ) -> list[Template]:
        """Store faces in their order; the next search finds them once this transaction is committed."""
        rows: Sequence[Any] = []
        while not rows:  # again where the gallery was given another protection meanwhile
            protection = await self._protections.of_gallery(collection_id, recognizer, self._protector.current_key_id)
            stored = await self._protector.protect(self._tenant_id, protection, [face.embedding for face in faces])
            origins = [face.origin for face in faces]
            values = self._row(
                gallery_id=uuid4(), collection_id=collection_id, recognizer=recognizer, source=source,
                count=len(faces), generation=protection.generation, ids=[face.id for face in faces],
                subject_ids=[face.subject_id for face in faces],
                embeddings=[embedding_literal(embedding) for embedding in stored],
                scores=[face.detection_score for face in faces],
                qualities=[json.dumps(face.quality) for face in faces],
                image_ids=[origin.image_id if origin else None for origin in origins],
                external_image_ids=[origin.external_image_id if origin else None for origin in origins],
                boxes=[_box_literal(origin.box) if origin else None for origin in origins],
                image_digests=[origin.digest if origin else None for origin in origins],
            )  # fmt: skip
            rows = (await self._session.execute(_STORE, values)).all()
        templates = {row.id: Template(*row) for row in rows}
        return [templates[face.id] for face in faces]

    async def take_in(
        self, faces: Sequence[ExportedFace], *, collection_id: UUID, subject_id: UUID, recognizer: str
    ) -> list[Template]:
        """Store faces that were exported."""
        new = [NewFace(subject_id, face.embedding, face.detection_score, face.quality) for face in faces]
        return await self.add_all(new, collection_id=collection_id, recognizer=recognizer, source="import")

    async def export(self, subject_id: UUID) -> list[ExportedFace]:
        """A subject's faces with their embeddings as the recogniser made them, the oldest first."""
        statement = (
            self._select(TemplateModel, TemplateModel.subject_id == subject_id)
            .join(GalleryModel, (GalleryModel.id == TemplateModel.gallery_id) & self._own(GalleryModel))
            .add_columns(GalleryModel.generation)
            .options(undefer(TemplateModel.embedding))
            .order_by(TemplateModel.gallery_id, TemplateModel.seq)
        )
        faces = []
        for row, generation in await self._session.execute(statement):
            protection = await self._protections.get(generation)
            stored = np.asarray(row.embedding, dtype=np.float32)
            (embedding,) = await self._protector.reveal(self._tenant_id, protection, [stored])
            described = (row.detection_score, row.quality, row.source, row.created_at)
            faces.append(ExportedFace(row.recognizer, embedding, *described))
        return faces


class TemplateRepository(TenantRepository):
    """The templates of one tenant's subjects, without their embeddings."""

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
        erased = await self._session.scalar(statement)
        self._note_erased(ErasedKind.FACE, [erased] if erased is not None else [])
        return erased is not None

    async def delete_all(self, subject_id: UUID) -> int:
        """Erase a subject's templates; how many there were."""
        statement = self._delete(TemplateModel, TemplateModel.subject_id == subject_id).returning(TemplateModel.id)
        erased = list(await self._session.scalars(statement))
        self._note_erased(ErasedKind.FACE, erased)
        return len(erased)

    async def count(self, subject_id: UUID) -> int:
        """How many templates a subject has."""
        own = (self._own(TemplateModel), TemplateModel.subject_id == subject_id)
        return await self._session.scalar(select(func.count()).select_from(TemplateModel).where(*own)) or 0


def embedding_literal(embedding: Embedding) -> str:
    """An embedding as PostgreSQL reads it."""
    return "[" + ",".join(f"{value:.6g}" for value in embedding.tolist()) + "]"


def _box_literal(box: RelativeBox) -> str:
    return f"{{{box.left:.6g},{box.top:.6g},{box.width:.6g},{box.height:.6g}}}"


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
