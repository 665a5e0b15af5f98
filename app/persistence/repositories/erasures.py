"""Replays erasures after a restore: deletes rows by id, and stores how far each erasure journal was applied."""

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
    """One tenant's rows that a restored backup may have brought back; nothing here enters the journal again."""

    async def delete(self, kind: ErasedKind, row_id: UUID) -> bool:
        """Erase a row by id; return False if it does not exist."""
        model = _MODELS[kind]
        erased = await self._session.scalars(self._delete(model, model.id == row_id).returning(model.id))
        return erased.first() is not None

    async def withdraw_consent(self, subject_id: UUID, at: datetime) -> bool:
        """Withdraw a consent recorded before `at` again; return False if there was nothing to withdraw."""
        statement = self._update(
            SubjectModel,
            SubjectModel.id == subject_id,
            or_(SubjectModel.consented_at.is_(None), SubjectModel.consented_at < at),
            SubjectModel.consent_withdrawn_at.is_(None),
        )
        withdrawn = statement.values(consent_withdrawn_at=at).returning(SubjectModel.id)
        return await self._session.scalar(withdrawn) is not None

    async def find_names(self, kind: ErasedKind, row_id: UUID) -> tuple[str, str | None] | None:
        """Find the names of the row's collection and subject (None for a collection); None if the row is missing."""
        statement: Any
        if kind is ErasedKind.COLLECTION:
            statement = select(CollectionModel.name, null()).where(
                self._of_tenant(CollectionModel), CollectionModel.id == row_id
            )
        else:
            conditions = (self._of_tenant(SubjectModel), self._of_tenant(CollectionModel))
            statement = (
                select(CollectionModel.name, SubjectModel.subject)
                .join(SubjectModel, SubjectModel.collection_id == CollectionModel.id)
                .where(*conditions)
            )
            if kind is ErasedKind.FACE:
                of_face = TemplateModel.subject_id == SubjectModel.id
                statement = statement.join(TemplateModel, of_face & self._of_tenant(TemplateModel)).where(
                    TemplateModel.id == row_id
                )
            else:
                statement = statement.where(SubjectModel.id == row_id)
        row = (await self._session.execute(statement.distinct())).one_or_none()
        return (row[0], row[1]) if row is not None else None

    async def has_tenant(self) -> bool:
        statement = select(func.count()).select_from(TenantModel).where(TenantModel.id == self._tenant_id)
        return bool(await self._session.scalar(statement))


class ErasureMarks:
    """Positions up to which this database has applied each erasure journal; a restored database is behind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_all(self) -> dict[UUID, int]:
        """Return the positions by journal."""
        async with self._database.transaction() as session:
            rows = await session.execute(text("SELECT journal, position FROM erasure_marks"))
            return {row.journal: row.position for row in rows}

    async def set(self, journal: UUID, position: int) -> None:
        """Store the position unless a later one is stored."""
        async with self._database.transaction() as session:
            statement = text(
                "INSERT INTO erasure_marks AS m (journal, position) VALUES (:journal, :position) "
                "ON CONFLICT (journal) DO UPDATE SET position = greatest(m.position, excluded.position)"
            )
            await session.execute(statement, {"journal": journal, "position": position})
