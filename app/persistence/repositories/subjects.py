"""Subjects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.people import Consent, Subject, SubjectRecord
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import CollectionModel, GalleryModel, SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository

_TERMS = (
    "consent",
    "consented_at",
    "consent_recorded_by",
    "consent_withdrawn_at",
    "expires_at",
    "updated_at",
)


@dataclass(frozen=True, slots=True)
class ExpiredSubject:
    """Somebody whose time is over."""

    id: UUID
    collection: str
    subject: str
    has_expiry: bool
    """By their own date; else by the tenant's retention."""


class SubjectRepository(TenantRepository):
    """The subjects of one tenant's collections."""

    async def add(
        self,
        collection_id: UUID,
        subject: str,
        name: str | None,
        metadata: dict[str, Any],
        expires_at: datetime | None = None,
    ) -> UUID | None:
        """Create a subject; None if the collection has it already."""
        values = self._row(
            collection_id=collection_id, subject=subject, name=name, details=metadata, expires_at=expires_at
        )
        statement = insert(SubjectModel).values(values).on_conflict_do_nothing().returning(SubjectModel.id)
        created: UUID | None = await self._session.scalar(statement)
        return created

    async def ensure(
        self,
        collection_id: UUID,
        subject: str,
        name: str | None,
        metadata: dict[str, Any] | None,
        expires_at: datetime | None = None,
    ) -> UUID:
        """Create the subject, or take the one there is and give it what is not None; holds its row."""
        values = self._row(
            collection_id=collection_id, subject=subject, name=name, details=metadata or {}, expires_at=expires_at
        )
        given: dict[str, Any] = {"updated_at": func.now()}
        if name is not None:
            given["name"] = name
        if metadata is not None:
            given["metadata"] = metadata
        if expires_at is not None:
            given["expires_at"] = expires_at
        statement = (
            insert(SubjectModel)
            .values(values)
            .on_conflict_do_update(index_elements=["tenant_id", "collection_id", "subject"], set_=given)
            .returning(SubjectModel.id)
        )
        subject_id: UUID | None = await self._session.scalar(statement)
        assert subject_id is not None  # an upsert always returns its row
        return subject_id

    async def find_row(self, collection_id: UUID, subject: str, *, lock: bool = False) -> SubjectRecord | None:
        """A subject without counts; `lock` locks it until the transaction ends."""
        statement = self._select(
            SubjectModel, SubjectModel.collection_id == collection_id, SubjectModel.subject == subject
        )
        row: SubjectModel | None = await self._session.scalar(statement.with_for_update() if lock else statement)
        return _record(row) if row is not None else None

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

    async def change(self, subject_id: UUID, values: Mapping[str, Any]) -> None:
        """Set `name`, `details` (the metadata) or `expires_at`."""
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(**values))

    async def record_consent(self, subject_id: UUID, reference: str, recorded_by: str) -> None:
        """Note that the person agreed, now; it takes the place of an earlier consent."""
        values = {
            "consent": reference,
            "consented_at": func.clock_timestamp(),
            "consent_recorded_by": recorded_by,
            "consent_withdrawn_at": None,
        }
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(values))

    async def restore_consent(self, subject_id: UUID, consent: Consent) -> None:
        """Set the consent of an imported subject as it was recorded."""
        values = {
            "consent": consent.reference,
            "consented_at": consent.recorded_at,
            "consent_recorded_by": consent.recorded_by,
            "consent_withdrawn_at": consent.withdrawn_at,
        }
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(values))

    async def withdraw_consent(self, subject_id: UUID) -> None:
        """Note that the person agrees no longer."""
        values = {"consent_withdrawn_at": func.clock_timestamp()}
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(values))
        self._note_erased(ErasedKind.CONSENT, [subject_id])

    async def delete(self, collection_id: UUID, subject: str) -> UUID | None:
        """Erase a subject with their templates; their id, None if there is none."""
        row = await self.find_row(collection_id, subject, lock=True)
        if row is None:
            return None
        await self._erase([row.id])
        return row.id

    async def erase_expired(self, now: datetime, retention_days: int | None, limit: int) -> list[ExpiredSubject]:
        """Erase up to `limit` subjects whose time is over; those that others hold come another time."""
        conditions: list[ColumnElement[bool]] = [SubjectModel.expires_at <= now]
        if retention_days is not None:
            conditions.append(SubjectModel.updated_at <= now - timedelta(days=retention_days))
        expired = (
            select(SubjectModel.id, SubjectModel.subject, SubjectModel.expires_at, CollectionModel.name)
            .join(CollectionModel, SubjectModel.collection_id == CollectionModel.id)
            .where(self._own(SubjectModel), self._own(CollectionModel), or_(*conditions))
            .order_by(SubjectModel.id)
            .limit(limit)
            .with_for_update(of=SubjectModel, skip_locked=True)
        )
        found = [
            ExpiredSubject(row.id, row.name, row.subject, row.expires_at is not None and row.expires_at <= now)
            for row in await self._session.execute(expired)
        ]
        if found:
            await self._erase([one.id for one in found])
        return found

    async def add_anonymous(
        self, collection_id: UUID, subjects: Mapping[UUID, str], like: SubjectRecord | None = None
    ) -> None:
        """Create subjects for faces of nobody known; `like`: with the consent and the end of that subject's stay."""
        terms = {}
        if like is not None:
            terms = {name: getattr(like, name) for name in _TERMS}
        rows = [
            self._row(id=one, collection_id=collection_id, subject=subject, is_anonymous=True, **terms)
            for one, subject in subjects.items()
        ]
        await self._session.execute(insert(SubjectModel), rows)

    async def lock(self, subject_ids: Sequence[UUID]) -> list[SubjectRecord]:
        """Lock subjects, always in the same order, until the transaction ends; those that are there."""
        rows = self._select(SubjectModel, SubjectModel.id.in_(subject_ids)).order_by(SubjectModel.id)
        return [_record(row) for row in await self._session.scalars(rows.with_for_update())]

    async def drop_empty_anonymous(self, subject_ids: Sequence[UUID]) -> None:
        """Take away those of these that stand for a face which is theirs no longer. Erases no face."""
        await self._drop_empty_anonymous(SubjectModel.id.in_(subject_ids))

    async def lock_anonymous_with(self, collection_id: UUID, recognizer: str) -> None:
        """Lock the anonymous subjects that have faces of a recognizer, in the order in which `lock` does."""
        faces = select(TemplateModel.id).where(
            self._own(TemplateModel),
            TemplateModel.subject_id == SubjectModel.id,
            TemplateModel.recognizer == recognizer,
        )
        held = self._select(
            SubjectModel,
            SubjectModel.collection_id == collection_id,
            SubjectModel.is_anonymous.is_(True),
            faces.exists(),
        )
        await self._session.execute(held.with_only_columns(SubjectModel.id).order_by(SubjectModel.id).with_for_update())

    async def drop_empty_anonymous_of(self, collection_id: UUID) -> None:
        """The same of a whole collection, in which nobody stores meanwhile."""
        await self._drop_empty_anonymous(SubjectModel.collection_id == collection_id)

    async def _drop_empty_anonymous(self, which: ColumnElement[bool]) -> None:
        faces = select(TemplateModel.id).where(self._own(TemplateModel), TemplateModel.subject_id == SubjectModel.id)
        await self._session.execute(
            self._delete(
                SubjectModel,
                which,
                SubjectModel.is_anonymous.is_(True),
                SubjectModel.consent_withdrawn_at.is_(None),
                ~faces.exists(),
            )
        )

    async def drop(self, subject_id: UUID) -> None:
        """Take away a subject whose faces were given away before; erases no face."""
        await self._session.execute(self._delete(SubjectModel, SubjectModel.id == subject_id))

    async def touch(self, subject_id: UUID) -> None:
        """Note that the subject's faces changed now."""
        await self._session.execute(
            self._update(SubjectModel, SubjectModel.id == subject_id).values(updated_at=func.now())
        )

    async def list_named(self, collection_id: UUID, after: UUID | None, limit: int) -> list[tuple[UUID, Subject]]:
        """Up to `limit` subjects that are not anonymous, behind a row's id, by that id."""
        conditions = [SubjectModel.collection_id == collection_id, ~SubjectModel.is_anonymous]
        if after is not None:
            conditions.append(SubjectModel.id > after)
        return await self._read(self._counted(*conditions).order_by(SubjectModel.id).limit(limit))

    async def count_named(self, collection_id: UUID) -> int:
        """How many subjects of the collection are not anonymous."""
        own = (self._own(SubjectModel), SubjectModel.collection_id == collection_id, ~SubjectModel.is_anonymous)
        return await self._session.scalar(select(func.count()).select_from(SubjectModel).where(*own)) or 0

    async def _erase(self, subject_ids: Sequence[UUID]) -> None:
        theirs = select(TemplateModel.gallery_id).where(
            self._own(TemplateModel), TemplateModel.subject_id.in_(subject_ids)
        )
        await self._lock_galleries(GalleryModel.id.in_(theirs))
        # An older backup holds a face that was given to somebody since under another subject: it is named by itself.
        moved = select(TemplateModel.id).where(
            self._own(TemplateModel), TemplateModel.subject_id.in_(subject_ids), TemplateModel.moved_at.is_not(None)
        )
        self._note_erased(ErasedKind.FACE, set(await self._session.scalars(moved)))
        await self._session.execute(self._delete(SubjectModel, SubjectModel.id.in_(subject_ids)))
        self._note_erased(ErasedKind.SUBJECT, subject_ids)

    async def _list(self, *conditions: ColumnElement[bool], limit: int) -> list[Subject]:
        statement = self._counted(*conditions).order_by(SubjectModel.subject).limit(limit)
        return [subject for _, subject in await self._read(statement)]

    def _counted(self, *conditions: ColumnElement[bool]) -> Select[SubjectModel, int]:
        templates = (
            select(func.count(TemplateModel.id.distinct()))
            .where(self._own(TemplateModel), TemplateModel.subject_id == SubjectModel.id)
            .correlate(SubjectModel)
            .scalar_subquery()
        )
        return self._select(SubjectModel, *conditions).add_columns(templates)

    async def _read(self, statement: Select[SubjectModel, int]) -> list[tuple[UUID, Subject]]:
        return [
            (
                row.id,
                Subject(
                    row.subject,
                    row.name,
                    row.details,
                    row.created_at,
                    row.updated_at,
                    count,
                    describe_consent(row),
                    row.expires_at,
                ),
            )
            for row, count in await self._session.execute(statement)
        ]


def _record(row: SubjectModel) -> SubjectRecord:
    return SubjectRecord(
        row.id,
        row.subject,
        row.is_anonymous,
        row.updated_at,
        row.expires_at,
        row.consent,
        row.consented_at,
        row.consent_recorded_by,
        row.consent_withdrawn_at,
    )


def describe_consent(row: SubjectModel) -> Consent | None:
    """The subject's consent, if one was ever recorded."""
    if row.consent is None or row.consented_at is None:
        return None
    return Consent(row.consent, row.consented_at, row.consent_recorded_by or "", row.consent_withdrawn_at)
