"""Erasing by row id what was erased before, and how far each erasure journal was followed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, null, or_, select, text

from app.persistence.connections.database import Database
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import CollectionModel, SubjectModel, TemplateModel, TenantModel, TenantRow
from app.persistence.repositories.base import TenantRepository

_MODELS: dict[ErasedKind, type[TenantRow]] = {
    ErasedKind.COLLECTION: CollectionModel,
    ErasedKind.SUBJECT: SubjectModel,
    ErasedKind.FACE: TemplateModel,
}


class ErasureRepository(TenantRepository):
    """One tenant's rows that a restored backup may have brought back."""

    async def erase(self, kind: ErasedKind, row_id: UUID) -> bool:
        """Erase the row, if it is there."""
        model = _MODELS[kind]
        erased = await self._session.scalars(self._delete(model, model.id == row_id).returning(model.id))
        return erased.first() is not None

    async def withdraw_consent(self, subject_id: UUID, at: datetime) -> bool:
        """Withdraw again what a subject consented to before that moment, unless it is withdrawn."""
        statement = self._update(
            SubjectModel,
            SubjectModel.id == subject_id,
            or_(SubjectModel.consented_at.is_(None), SubjectModel.consented_at < at),
            SubjectModel.consent_withdrawn_at.is_(None),
        )
        withdrawn = statement.values(consent_withdrawn_at=at).returning(SubjectModel.id)
        return await self._session.scalar(withdrawn) is not None

    async def find_names(self, kind: ErasedKind, row_id: UUID) -> tuple[str, str | None] | None:
        """The collection, and the subject where it is one's or a face of one's; None if the row is not there."""
        statement: Any
        if kind is ErasedKind.COLLECTION:
            statement = select(CollectionModel.name, null()).where(
                self._own(CollectionModel), CollectionModel.id == row_id
            )
        else:
            own = (self._own(SubjectModel), self._own(CollectionModel))
            statement = (
                select(CollectionModel.name, SubjectModel.subject)
                .join(SubjectModel, SubjectModel.collection_id == CollectionModel.id)
                .where(*own)
            )
            if kind is ErasedKind.FACE:
                of_face = TemplateModel.subject_id == SubjectModel.id
                statement = statement.join(TemplateModel, of_face & self._own(TemplateModel)).where(
                    TemplateModel.id == row_id
                )
            else:
                statement = statement.where(SubjectModel.id == row_id)
        row = (await self._session.execute(statement.distinct())).one_or_none()
        return (row[0], row[1]) if row is not None else None

    async def has_tenant(self) -> bool:
        """Whether the tenant itself is there."""
        statement = select(func.count()).select_from(TenantModel).where(TenantModel.id == self._tenant_id)
        return bool(await self._session.scalar(statement))


class ErasureMarks:
    """Up to which position of which journal this database has followed; a restored one has followed less."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, journal: UUID) -> int:
        """The position; 0 for a journal not seen before."""
        async with self._database.transaction() as session:
            statement = text("SELECT position FROM erasure_marks WHERE journal = :journal")
            return int(await session.scalar(statement, {"journal": journal}) or 0)

    async def set(self, journal: UUID, position: int) -> None:
        """Remember the position; never an earlier one."""
        async with self._database.transaction() as session:
            statement = text(
                "INSERT INTO erasure_marks AS m (journal, position) VALUES (:journal, :position) "
                "ON CONFLICT (journal) DO UPDATE SET position = greatest(m.position, excluded.position)"
            )
            await session.execute(statement, {"journal": journal, "position": position})
