"""Reads and writes a gallery's embeddings as they are stored, for turning them."""

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
UPDATE templates SET embedding = CAST(given.embedding AS halfvec)
FROM unnest(:seqs, :embeddings) AS given(seq, embedding)
WHERE templates.gallery_id = :gallery_id AND templates.seq = given.seq
""").bindparams(
    bindparam("seqs", type_=ARRAY(BigInteger)),
    bindparam("embeddings", type_=ARRAY(Text)),
    bindparam("gallery_id", type_=Uuid),
)


class StoredEmbedding(NamedTuple):
    """A template's place and embedding, as stored."""

    seq: int
    embedding: Embedding


class GalleryRotationRepository(TenantRepository):
    """One tenant's galleries."""

    async def list_older(self, generation: int) -> list[UUID]:
        """Every gallery under an older protection, the oldest first."""
        is_older = GalleryModel.generation < generation
        statement = select(GalleryModel.id).where(self._own(GalleryModel), is_older).order_by(GalleryModel.created_at)
        return list(await self._session.scalars(statement))

    async def lock(self, gallery_id: UUID) -> Protection | None:
        """The gallery's protection; nothing is stored in it until this transaction ends. None if it is gone."""
        statement = self._select(GalleryModel, GalleryModel.id == gallery_id).with_for_update()
        row = await self._session.scalar(statement)
        if row is None:
            return None
        return await ProtectionRepository(self._session, self._tenant_id).get(row.generation)

    async def read_on(self, gallery_id: UUID, after: int, limit: int) -> list[StoredEmbedding]:
        """Up to `limit` templates behind a place, by place."""
        statement = (
            select(TemplateModel.seq, TemplateModel.embedding)
            .where(self._own(TemplateModel), TemplateModel.gallery_id == gallery_id, TemplateModel.seq > after)
            .order_by(TemplateModel.seq)
            .limit(limit)
        )
        rows = await self._session.execute(statement)
        return [StoredEmbedding(seq, np.asarray(embedding, dtype=np.float32)) for seq, embedding in rows]

    async def write(self, seqs: Sequence[int], embeddings: Sequence[Embedding], gallery_id: UUID) -> None:
        """Store these embeddings at these places."""
        values = {
            "seqs": list(seqs),
            "embeddings": [embedding_literal(one) for one in embeddings],
            "gallery_id": gallery_id,
        }
        await self._session.execute(_WRITE, values)

    async def set_protection(self, gallery_id: UUID, protection: Protection) -> None:
        """Say what protects the gallery now; whoever held it in memory loads it anew."""
        changed = {"generation": protection.generation, "epoch": GalleryModel.epoch + 1}
        await self._session.execute(self._update(GalleryModel, GalleryModel.id == gallery_id).values(**changed))
