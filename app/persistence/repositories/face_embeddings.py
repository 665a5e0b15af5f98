"""The embeddings of stored faces as they were computed, without the template protection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Uuid, any_, cast
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.faces import Embedding, is_reliable
from app.persistence.models import GalleryModel, SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.template_protector import TemplateProtector


@dataclass(frozen=True, slots=True)
class StoredEmbedding:
    """A template's face, sequence number and embedding, and whether the face's quality is reliable."""

    face_id: UUID
    seq: int
    embedding: Embedding = field(repr=False)
    is_reliable: bool = True


class FaceEmbeddingRepository(TenantRepository):
    """Reads the embeddings of one tenant's faces."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, protector: TemplateProtector) -> None:
        super().__init__(session, tenant_id)
        self._protector = protector
        self._protections = ProtectionRepository(session, tenant_id)

    async def list_named(
        self, collection_id: UUID, recognizer: str, *, after: int, through: int, limit: int
    ) -> list[StoredEmbedding]:
        """List up to `limit` templates of named subjects with sequence numbers after `after` up to `through`."""
        of_subject = (SubjectModel.id == TemplateModel.subject_id) & self._of_tenant(SubjectModel)
        statement = self._templates(collection_id, recognizer, TemplateModel.seq > after, TemplateModel.seq <= through)
        statement = statement.join(SubjectModel, of_subject).where(SubjectModel.is_anonymous.is_(False))
        return await self._read(statement.order_by(TemplateModel.seq).limit(limit))

    async def read(self, collection_id: UUID, recognizer: str, face_ids: Sequence[UUID]) -> list[StoredEmbedding]:
        """Read the embeddings of those faces that have a template by the recognizer."""
        has_id = TemplateModel.id == any_(cast(list(face_ids), ARRAY(Uuid)))
        return await self._read(self._templates(collection_id, recognizer, has_id))

    def _templates(self, collection_id: UUID, recognizer: str, *conditions: Any) -> Any:
        of_gallery = (GalleryModel.id == TemplateModel.gallery_id) & self._of_tenant(GalleryModel)
        statement = self._select(TemplateModel, *conditions).join(GalleryModel, of_gallery)
        statement = statement.where(GalleryModel.collection_id == collection_id, GalleryModel.recognizer == recognizer)
        columns: tuple[Any, ...] = (
            TemplateModel.id,
            TemplateModel.seq,
            TemplateModel.embedding,
            TemplateModel.quality,
            GalleryModel.generation,
        )
        return statement.with_only_columns(*columns)

    async def _read(self, statement: Any) -> list[StoredEmbedding]:
        rows = (await self._session.execute(statement)).all()
        if not rows:
            return []
        protection = await self._protections.get(rows[0].generation)
        stored = [np.asarray(row.embedding, dtype=np.float32) for row in rows]
        revealed = await self._protector.reveal(self._tenant_id, protection, stored)
        return [
            StoredEmbedding(row.id, row.seq, embedding, is_reliable(row.quality.get("score")))
            for row, embedding in zip(rows, revealed, strict=True)
        ]
