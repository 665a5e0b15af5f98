"""How far each recognizer's templates cover a collection, and erasing one's."""

from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import aliased

from app.domain.collections import Coverage
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import GalleryModel, SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository


class RecognizerRepository(TenantRepository):
    """The templates of one tenant's collections, by recognizer."""

    async def count(self, collection_id: UUID) -> dict[str, Coverage]:
        """How far each recognizer is that has templates in the collection."""
        counted = (
            select(TemplateModel.recognizer, func.count(), func.count(TemplateModel.subject_id.distinct()))
            .where(self._own(TemplateModel), TemplateModel.collection_id == collection_id)
            .group_by(TemplateModel.recognizer)
        )
        return {name: Coverage(faces, people) for name, faces, people in await self._session.execute(counted)}

    async def count_missing(self, collection_id: UUID, recognizer: str, other: str) -> int:
        """How many subjects have templates of one recognizer and none of the other."""
        counted = select(func.count(TemplateModel.subject_id.distinct())).where(
            *self._is_missing(collection_id, recognizer, other)
        )
        return await self._session.scalar(counted) or 0

    async def list_missing(
        self, collection_id: UUID, recognizer: str, other: str, after: str | None, limit: int
    ) -> list[str]:
        """Up to `limit` of these subjects behind one, by the caller's ids."""
        missing = select(TemplateModel.subject_id).where(*self._is_missing(collection_id, recognizer, other))
        names = select(SubjectModel.subject).where(self._own(SubjectModel), SubjectModel.id.in_(missing))
        if after is not None:
            names = names.where(SubjectModel.subject > after)
        return list(await self._session.scalars(names.order_by(SubjectModel.subject).limit(limit)))

    async def erase(self, collection_id: UUID, recognizer: str) -> int:
        """Erase a recognizer's templates, how many there were; of faces that no other embedded nothing is left."""
        await self._lock_galleries(GalleryModel.collection_id == collection_id, GalleryModel.recognizer == recognizer)
        others = aliased(TemplateModel)
        has_other = select(others.id).where(
            self._own(others), others.id == TemplateModel.id, others.recognizer != recognizer
        )
        conditions = (TemplateModel.collection_id == collection_id, TemplateModel.recognizer == recognizer)
        last = select(TemplateModel.id).where(self._own(TemplateModel), *conditions, ~has_other.exists())
        lost = list(await self._session.scalars(last))
        erased = self._delete(TemplateModel, *conditions).returning(TemplateModel.seq)
        templates = len((await self._session.scalars(erased)).all())
        # A face that another recognizer embedded as well is still there: only what is gone is remembered as erased.
        self._note_erased(ErasedKind.FACE, lost)
        return templates

    def _is_missing(self, collection_id: UUID, recognizer: str, other: str) -> list[ColumnElement[bool]]:
        theirs = aliased(TemplateModel)
        has_other = select(theirs.id).where(
            self._own(theirs), theirs.subject_id == TemplateModel.subject_id, theirs.recognizer == other
        )
        return [
            self._own(TemplateModel),
            TemplateModel.collection_id == collection_id,
            TemplateModel.recognizer == recognizer,
            ~has_other.exists(),
        ]
