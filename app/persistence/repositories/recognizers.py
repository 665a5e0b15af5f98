"""How many of a collection's subjects each recognizer covers; erasing one recognizer's templates."""

from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import aliased

from app.domain.collections import Coverage
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import GalleryModel, SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository


class RecognizerRepository(TenantRepository):
    """The templates of one tenant's collections, by recognizer."""

    async def get_coverage(self, collection_id: UUID) -> dict[str, Coverage]:
        """Count the collection's faces and subjects by recognizer."""
        counted = (
            select(TemplateModel.recognizer, func.count(), func.count(TemplateModel.subject_id.distinct()))
            .where(self._of_tenant(TemplateModel), TemplateModel.collection_id == collection_id)
            .group_by(TemplateModel.recognizer)
        )
        return {name: Coverage(faces, subjects) for name, faces, subjects in await self._session.execute(counted)}

    async def count_missing(self, collection_id: UUID, recognizer: str, other: str) -> int:
        """Count the subjects that have templates of `recognizer` and none of `other`."""
        counted = select(func.count(TemplateModel.subject_id.distinct())).where(
            *self._is_missing(collection_id, recognizer, other)
        )
        return await self._session.scalar(counted) or 0

    async def list_missing(
        self, collection_id: UUID, recognizer: str, other: str, after: str | None, limit: int
    ) -> list[str]:
        """List up to `limit` of these subjects after the subject id `after`, by subject id."""
        missing = select(TemplateModel.subject_id).where(*self._is_missing(collection_id, recognizer, other))
        names = select(SubjectModel.subject).where(self._of_tenant(SubjectModel), SubjectModel.id.in_(missing))
        if after is not None:
            names = names.where(SubjectModel.subject > after)
        return list(await self._session.scalars(names.order_by(SubjectModel.subject).limit(limit)))

    async def delete(self, collection_id: UUID, recognizer: str) -> int:
        """Erase a recognizer's templates in a collection and return their number.

        A face without templates of another recognizer is thereby erased.
        """
        await self._lock_galleries(GalleryModel.collection_id == collection_id, GalleryModel.recognizer == recognizer)
        others = aliased(TemplateModel)
        has_other = select(others.id).where(
            self._of_tenant(others), others.id == TemplateModel.id, others.recognizer != recognizer
        )
        conditions = (TemplateModel.collection_id == collection_id, TemplateModel.recognizer == recognizer)
        only = select(TemplateModel.id).where(self._of_tenant(TemplateModel), *conditions, ~has_other.exists())
        erased_faces = list(await self._session.scalars(only))
        statement = self._delete(TemplateModel, *conditions).returning(TemplateModel.seq)
        templates = len((await self._session.scalars(statement)).all())
        # Replaying a journal entry erases the whole face, so faces that keep another template must not be in it.
        self._note_erased(ErasedKind.FACE, erased_faces)
        return templates

    def _is_missing(self, collection_id: UUID, recognizer: str, other: str) -> list[ColumnElement[bool]]:
        others = aliased(TemplateModel)
        has_other = select(others.id).where(
            self._of_tenant(others), others.subject_id == TemplateModel.subject_id, others.recognizer == other
        )
        return [
            self._of_tenant(TemplateModel),
            TemplateModel.collection_id == collection_id,
            TemplateModel.recognizer == recognizer,
            ~has_other.exists(),
        ]
