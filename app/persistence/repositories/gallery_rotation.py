"""Reads and rewrites a gallery's stored embeddings, for rotating them to a new template protection."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import numpy as np
from sqlalchemy import BigInteger, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.domain.faces import Embedding
from app.persistence.models import GalleryModel, TemplateModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.repositories.templates import embedding_literal
from app.security.template_protection import Protection

_WRITE = text("""
UPDATE templates SET embedding = CAST(rotated.embedding AS halfvec)
FROM unnest(:seqs, :embeddings) AS rotated(seq, embedding)
WHERE templates.gallery_id = :gallery_id AND templates.seq = rotated.seq
""").bindparams(
    bindparam("seqs", type_=ARRAY(BigInteger)),
    bindparam("embeddings", type_=ARRAY(Text)),
    bindparam("gallery_id", type_=Uuid),
)


class StoredEmbedding(NamedTuple):
    """A template's sequence number and stored (protected) embedding."""

    seq: int
    embedding: Embedding


class GalleryRotationRepository(TenantRepository):
    """One tenant's galleries, as template rotation sees them."""

    async def list_older(self, generation: int) -> list[UUID]:
        """List the galleries whose protection is older than `generation`, oldest gallery first."""
        is_older = GalleryModel.generation < generation
        statement = (
            select(GalleryModel.id).where(self._of_tenant(GalleryModel), is_older).order_by(GalleryModel.created_at)
        )
        return list(await self._session.scalars(statement))

    async def lock(self, gallery_id: UUID) -> Protection | None:
        """Lock a gallery against new templates and return its protection; None if the gallery was deleted."""
        statement = self._select(GalleryModel, GalleryModel.id == gallery_id).with_for_update()
        row = await self._session.scalar(statement)
        if row is None:
            return None
        return await ProtectionRepository(self._session, self._tenant_id).get(row.generation)

    async def list_after(self, gallery_id: UUID, after: int, limit: int) -> list[StoredEmbedding]:
        """List up to `limit` templates after a sequence number, in order."""
        statement = (
            select(TemplateModel.seq, TemplateModel.embedding)
            .where(self._of_tenant(TemplateModel), TemplateModel.gallery_id == gallery_id, TemplateModel.seq > after)
            .order_by(TemplateModel.seq)
            .limit(limit)
        )
        rows = await self._session.execute(statement)
        return [StoredEmbedding(seq, np.asarray(embedding, dtype=np.float32)) for seq, embedding in rows]

    async def write(self, seqs: Sequence[int], embeddings: Sequence[Embedding], gallery_id: UUID) -> None:
        """Replace the embeddings of the templates with these sequence numbers."""
        values = {
            "seqs": list(seqs),
            "embeddings": [embedding_literal(embedding) for embedding in embeddings],
            "gallery_id": gallery_id,
        }
        await self._session.execute(_WRITE, values)

    async def set_protection(self, gallery_id: UUID, protection: Protection) -> None:
        """Set the gallery's protection; the new epoch makes processes reload their cached copy."""
        changed = {"generation": protection.generation, "epoch": GalleryModel.epoch + 1}
        await self._session.execute(self._update(GalleryModel, GalleryModel.id == gallery_id).values(**changed))
