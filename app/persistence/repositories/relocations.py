"""Moves a subject's templates to the galleries of another collection."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import LargeBinary, Text, Uuid, cast, func, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.faces import Embedding
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import GalleryModel, TemplateModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.repositories.templates import TemplateStore, decode_embedding, embedding_literal
from app.persistence.template_protector import TemplateProtector


@dataclass(frozen=True, slots=True)
class RelocatedFaces:
    """The number of faces that moved, of templates that were dropped, and of faces dropped with all templates."""

    faces: int = 0
    dropped_templates: int = 0
    dropped_faces: int = 0


class _Gallery(NamedTuple):
    id: UUID
    recognizer: str
    generation: int


class _Stored(NamedTuple):
    id: UUID
    embedding: Embedding


class RelocationRepository(TenantRepository):
    """One tenant's templates, as moves between collections see them."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, protector: TemplateProtector) -> None:
        super().__init__(session, tenant_id)
        self._protector = protector
        self._templates = TemplateStore(session, tenant_id, protector)
        self._protections = ProtectionRepository(session, tenant_id)

    async def find_recognizers(self, subject_id: UUID) -> set[str]:
        """Return the recognizers that the subject has templates of."""
        of_subject = self._select(TemplateModel, TemplateModel.subject_id == subject_id)
        return set(await self._session.scalars(of_subject.with_only_columns(TemplateModel.recognizer).distinct()))

    async def move(
        self, subject_id: UUID, source_id: UUID, target_id: UUID, recognizers: Collection[str]
    ) -> RelocatedFaces:
        """Move the templates of these recognizers to the other collection's galleries, and erase all others.

        Face ids stay, and so do the embeddings: they are protected again if the other gallery is protected otherwise.
        Each template gets a sequence number at the end of its new gallery. Lock both collections and the subject first.
        """
        kept = sorted(await self.find_recognizers(subject_id) & set(recognizers))
        await self._templates.create_galleries(target_id, kept)
        await self._lock_galleries(GalleryModel.collection_id.in_((source_id, target_id)))
        sources, targets = await self._list_galleries(source_id), await self._list_galleries(target_id)
        moved = set[UUID]()
        for recognizer in kept:
            moved |= await self._move(subject_id, sources[recognizer], targets[recognizer], target_id)
        rest = self._delete(
            TemplateModel, TemplateModel.subject_id == subject_id, TemplateModel.collection_id == source_id
        )
        dropped = list(await self._session.scalars(rest.returning(TemplateModel.id)))
        lost = set(dropped) - moved
        self._note_erased(ErasedKind.FACE, lost)
        return RelocatedFaces(len(moved), len(dropped), len(lost))

    async def _list_galleries(self, collection_id: UUID) -> dict[str, _Gallery]:
        rows = select(GalleryModel.id, GalleryModel.recognizer, GalleryModel.generation).where(
            self._of_tenant(GalleryModel), GalleryModel.collection_id == collection_id
        )
        return {row.recognizer: _Gallery(*row) for row in await self._session.execute(rows)}

    async def _move(self, subject_id: UUID, source: _Gallery, target: _Gallery, target_id: UUID) -> set[UUID]:
        """Move the subject's templates from one locked gallery to another; return the faces' ids."""
        stored = await self._read(subject_id, source)
        if not stored:
            return set()
        embeddings: list[str | None] = [None] * len(stored)
        if source.generation != target.generation:
            embeddings = await self._protect_again([one.embedding for one in stored], source, target)
        count = len(stored)
        leave = self._update(GalleryModel, GalleryModel.id == source.id)
        columns = {"templates": GalleryModel.templates - count, "deletions": GalleryModel.deletions + count}
        await self._session.execute(leave.values(**columns))
        enter = self._update(GalleryModel, GalleryModel.id == target.id)
        columns = {"templates": GalleryModel.templates + count, "last_seq": GalleryModel.last_seq + count}
        last = await self._session.scalar(enter.values(**columns).returning(GalleryModel.last_seq)) or 0
        rows = (
            func.unnest(
                cast([one.id for one in stored], ARRAY(Uuid)),
                cast(list(range(last - count + 1, last + 1)), ARRAY(BIGINT)),
                cast(embeddings, ARRAY(Text)),
            )
            .table_valued("id", "seq", "embedding", name="moved")
            .render_derived()
        )
        values: dict[str, Any] = {"collection_id": target_id, "gallery_id": target.id, "seq": rows.c.seq}
        protected = cast(cast(rows.c.embedding, Text), TemplateModel.embedding.type)
        values["embedding"] = func.coalesce(protected, TemplateModel.embedding)
        statement = self._update(TemplateModel, TemplateModel.gallery_id == source.id, TemplateModel.id == rows.c.id)
        await self._session.execute(statement.values(values).execution_options(synchronize_session=False))
        return {one.id for one in stored}

    async def _read(self, subject_id: UUID, gallery: _Gallery) -> list[_Stored]:
        sent = type_coerce(func.halfvec_send(TemplateModel.embedding), LargeBinary)
        statement = (
            self._select(TemplateModel, TemplateModel.subject_id == subject_id, TemplateModel.gallery_id == gallery.id)
            .with_only_columns(TemplateModel.id, sent)
            .order_by(TemplateModel.seq)
        )
        return [_Stored(face_id, decode_embedding(raw)) for face_id, raw in await self._session.execute(statement)]

    async def _protect_again(self, stored: Sequence[Embedding], source: _Gallery, target: _Gallery) -> list[str | None]:
        """Convert stored embeddings (512,) of one gallery to the form of another, as halfvec text."""
        old = await self._protections.get(source.generation)
        new = await self._protections.get(target.generation)
        revealed = await self._protector.reveal(self._tenant_id, old, stored)
        return [embedding_literal(one) for one in await self._protector.protect(self._tenant_id, new, revealed)]
