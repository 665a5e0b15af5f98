"""Erase expired subjects: by their own expiry, or the retention of their tenant or pool."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, cast, func, or_, select

from app.domain.albums import AlbumKind
from app.persistence.models import AlbumModel, CollectionModel, SightingModel, SubjectModel, TemplateModel
from app.persistence.repositories.subjects import SubjectRepository


@dataclass(frozen=True, slots=True)
class ExpiredSubject:
    """A subject that was erased because its expiry or the tenant's retention period had passed."""

    id: UUID
    collection: str
    subject: str
    is_past_expiry: bool
    """Whether the subject's own expiry had passed; otherwise the retention period had."""


class ExpiredSubjectRepository(SubjectRepository):
    """One tenant's subjects, to erase the expired ones."""

    async def delete_expired(self, now: datetime, retention_days: int | None, limit: int) -> list[ExpiredSubject]:
        """Erase up to `limit` expired subjects and return them; skips subjects that other transactions have locked."""
        conditions: list[ColumnElement[bool]] = [SubjectModel.expires_at <= now]
        if retention_days is not None:
            conditions.append(SubjectModel.updated_at <= now - timedelta(days=retention_days))
        expired = (
            select(SubjectModel.id, SubjectModel.subject, SubjectModel.expires_at, CollectionModel.name)
            .join(CollectionModel, SubjectModel.collection_id == CollectionModel.id)
            .where(self._of_tenant(SubjectModel), self._of_tenant(CollectionModel), or_(*conditions))
            .order_by(SubjectModel.id)
            .limit(limit)
            .with_for_update(of=SubjectModel, skip_locked=True)
        )
        found = [
            ExpiredSubject(row.id, row.name, row.subject, row.expires_at is not None and row.expires_at <= now)
            for row in await self._session.execute(expired)
        ]
        if found:
            await self.erase([subject.id for subject in found])
        return found

    async def delete_expired_in_pools(self, now: datetime, limit: int) -> list[ExpiredSubject]:
        """Erase up to `limit` anonymous subjects whose pool has kept them long enough, and return them."""
        kept = cast(func.concat(AlbumModel.retain_days, " days"), Interval)
        of_pool = (SightingModel.collection_id == AlbumModel.collection_id) & self._of_tenant(SightingModel)
        of_face = (TemplateModel.id == SightingModel.face_id) & self._of_tenant(TemplateModel)
        of_subject = (SubjectModel.id == TemplateModel.subject_id) & self._of_tenant(SubjectModel)
        of_collection = (CollectionModel.id == AlbumModel.collection_id) & self._of_tenant(CollectionModel)
        expired = (
            select(SubjectModel.id, SubjectModel.subject, CollectionModel.name)
            .select_from(AlbumModel)
            .join(SightingModel, of_pool)
            .join(TemplateModel, of_face)
            .join(SubjectModel, of_subject)
            .join(CollectionModel, of_collection)
            .where(
                self._of_tenant(AlbumModel),
                AlbumModel.kind == AlbumKind.POOL.value,
                SightingModel.seen_at + kept <= now,
                SubjectModel.is_anonymous,
            )
            .limit(limit)
            .with_for_update(of=SubjectModel, skip_locked=True)
        )
        rows = {row.id: row for row in await self._session.execute(expired)}  # once for each recognizer's template
        if rows:
            await self.erase(list(rows))
        return [ExpiredSubject(row.id, row.name, row.subject, is_past_expiry=False) for row in rows.values()]
