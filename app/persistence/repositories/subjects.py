"""Subjects."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from app.domain import Subject
from app.persistence.models import SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository


class SubjectRepository(TenantRepository):
    """The subjects of one tenant's collections."""

    async def add(self, collection_id: UUID, subject: str, name: str | None, metadata: dict[str, Any]) -> UUID | None:
        """Create a subject; None if the collection has it already."""
        values = self._row(collection_id=collection_id, subject=subject, name=name, details=metadata)
        statement = insert(SubjectModel).values(values).on_conflict_do_nothing().returning(SubjectModel.id)
        created: UUID | None = await self._session.scalar(statement)
        return created

    async def ensure(
        self, collection_id: UUID, subject: str, name: str | None, metadata: dict[str, Any] | None
    ) -> UUID:
        """Create the subject, or take the one there is and give it the name and the metadata that are not None."""
        values = self._row(collection_id=collection_id, subject=subject, name=name, details=metadata or {})
        given: dict[str, Any] = {"updated_at": func.now()}
        if name is not None:
            given["name"] = name
        if metadata is not None:
            given["metadata"] = metadata
        statement = (
            insert(SubjectModel)
            .values(values)
            .on_conflict_do_update(index_elements=["tenant_id", "collection_id", "subject"], set_=given)
            .returning(SubjectModel.id)
        )
        subject_id: UUID | None = await self._session.scalar(statement)
        assert subject_id is not None  # an upsert always returns its row
        return subject_id

    async def find_row(self, collection_id: UUID, subject: str) -> SubjectModel | None:
        """The bare row of a subject."""
        row: SubjectModel | None = await self._session.scalar(
            self._select(SubjectModel, SubjectModel.collection_id == collection_id, SubjectModel.subject == subject)
        )
        return row

    async def find(self, collection_id: UUID, subject: str) -> Subject | None:
        """A subject with the number of their templates."""
        found = await self._list(SubjectModel.collection_id == collection_id, SubjectModel.subject == subject, limit=1)
        return found[0] if found else None

    async def list_page(self, collection_id: UUID, after: str | None, limit: int) -> list[Subject]:
        """Up to `limit` subjects behind the id `after`, by the caller's id."""
        conditions = [SubjectModel.collection_id == collection_id]
        if after is not None:
            conditions.append(SubjectModel.subject > after)
        return await self._list(*conditions, limit=limit)

    async def delete(self, collection_id: UUID, subject: str) -> bool:
        """Erase a subject with their templates; False if there is none."""
        statement = self._delete(
            SubjectModel, SubjectModel.collection_id == collection_id, SubjectModel.subject == subject
        ).returning(SubjectModel.id)
        return await self._session.scalar(statement) is not None

    async def _list(self, *conditions: ColumnElement[bool], limit: int) -> list[Subject]:
        templates = (
            select(func.count())
            .select_from(TemplateModel)
            .where(self._own(TemplateModel), TemplateModel.subject_id == SubjectModel.id)
            .correlate(SubjectModel)
            .scalar_subquery()
        )
        statement = self._select(SubjectModel, *conditions).add_columns(templates).order_by(SubjectModel.subject)
        return [
            Subject(row.subject, row.name, row.details, row.created_at, row.updated_at, count)
            for row, count in await self._session.execute(statement.limit(limit))
        ]
