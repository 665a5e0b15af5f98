"""Subjects: the people of a collection, named and anonymous, with their consent and expiry."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, Uuid, any_, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from app.domain.people import Consent, Subject, SubjectRecord
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import GalleryModel, SightingModel, SightingRejectionModel, SubjectModel, TemplateModel
from app.persistence.repositories.base import TenantRepository

_TAKEN = "23505"
"""PostgreSQL's code for a violated unique constraint."""
_TERMS = (
    "consent",
    "consented_at",
    "consent_recorded_by",
    "consent_withdrawn_at",
    "expires_at",
    "updated_at",
)

_COLUMNS = (
    SubjectModel.id,
    SubjectModel.subject,
    SubjectModel.name,
    SubjectModel.created_at,
    *(getattr(SubjectModel, name) for name in _TERMS),
)


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
        """Create a subject and return its row id; None if the collection already has this subject."""
        values = self._row(
            collection_id=collection_id, subject=subject, name=name, details=metadata, expires_at=expires_at
        )
        statement = insert(SubjectModel).values(values).on_conflict_do_nothing().returning(SubjectModel.id)
        created: UUID | None = await self._session.scalar(statement)
        return created

    async def upsert(
        self,
        collection_id: UUID,
        subject: str,
        name: str | None,
        metadata: dict[str, Any] | None,
        expires_at: datetime | None = None,
    ) -> UUID:
        """Create a subject, or update an existing one with the values that are not None; locks and returns its row id.

        The lock lasts until the transaction ends.
        """
        values = self._row(
            collection_id=collection_id, subject=subject, name=name, details=metadata or {}, expires_at=expires_at
        )
        updates: dict[str, Any] = {"updated_at": func.now()}
        if name is not None:
            updates["name"] = name
        if metadata is not None:
            updates["metadata"] = metadata
        if expires_at is not None:
            updates["expires_at"] = expires_at
        statement = (
            insert(SubjectModel)
            .values(values)
            .on_conflict_do_update(index_elements=["tenant_id", "collection_id", "subject"], set_=updates)
            .returning(SubjectModel.id)
        )
        subject_id: UUID | None = await self._session.scalar(statement)
        assert subject_id is not None  # an upsert always returns its row
        return subject_id

    async def find_row(self, collection_id: UUID, subject: str, *, lock: bool = False) -> SubjectRecord | None:
        """Find a subject without counts; `lock` locks its row until the transaction ends."""
        statement = self._select(
            SubjectModel, SubjectModel.collection_id == collection_id, SubjectModel.subject == subject
        )
        row: SubjectModel | None = await self._session.scalar(statement.with_for_update() if lock else statement)
        return _record(row) if row is not None else None

    async def find(self, collection_id: UUID, subject: str) -> Subject | None:
        """Find a subject with the number of its faces."""
        found = await self._list(SubjectModel.collection_id == collection_id, SubjectModel.subject == subject, limit=1)
        return found[0] if found else None

    async def list_by_ids(self, collection_id: UUID, subjects: Sequence[str]) -> list[Subject]:
        """List the subjects with these ids, by subject id."""
        is_listed = SubjectModel.subject == any_(cast(list(subjects), ARRAY(Text)))
        return await self._list(SubjectModel.collection_id == collection_id, is_listed, limit=len(subjects))

    async def lock_named(self, collection_id: UUID, *subjects: str) -> dict[str, SubjectRecord]:
        """Lock subjects of a collection by their ids, in the order that `lock` uses; return those that exist."""
        is_listed = SubjectModel.subject.in_(subjects)
        rows = self._select(SubjectModel, SubjectModel.collection_id == collection_id, is_listed)
        locked = await self._session.scalars(rows.order_by(SubjectModel.id).with_for_update())
        return {row.subject: _record(row) for row in locked}

    async def rename(self, subject_id: UUID, subject: str) -> bool:
        """Give a locked subject another id; return False if the collection has a subject with that id."""
        return await self._set_place(subject_id, {"subject": subject})

    async def move(self, subject_id: UUID, collection_id: UUID, subject: str) -> bool:
        """Put a locked subject into another collection; return False if that one has a subject with this id.

        Its templates stay where they are.
        """
        moved = {"collection_id": collection_id, "subject": subject}
        own_ids = func.array_append(
            func.array_remove(SubjectModel.erased_with, SubjectModel.id), SubjectModel.id, type_=ARRAY(Uuid)
        )
        return await self._set_place(subject_id, {**moved, "erased_with": own_ids})

    async def _set_place(self, subject_id: UUID, values: Mapping[str, Any]) -> bool:
        statement = self._update(SubjectModel, SubjectModel.id == subject_id).values(**values)
        try:
            async with self._session.begin_nested():
                await self._session.execute(statement.execution_options(synchronize_session=False))
        except IntegrityError as exc:
            if getattr(exc.orig, "sqlstate", "") != _TAKEN:
                raise
            return False
        return True

    async def absorb(self, subject_id: UUID, other_id: UUID) -> None:
        """Delete a locked subject whose faces were all assigned to another; erasing that one now covers both."""
        other = aliased(SubjectModel)
        ids = select(func.array_append(other.erased_with, other.id)).where(self._of_tenant(other), other.id == other_id)
        both = func.array_cat(SubjectModel.erased_with, ids.scalar_subquery(), type_=ARRAY(Uuid))
        statement = self._update(SubjectModel, SubjectModel.id == subject_id).values(erased_with=both)
        await self._session.execute(statement.execution_options(synchronize_session=False))
        await self._take_over_sightings(subject_id, other_id)
        await self.delete_row(other_id)

    async def _take_over_sightings(self, subject_id: UUID, other_id: UUID) -> None:
        """Let one subject be seen where another was, and rejected where that was rejected."""
        seen = self._update(SightingModel, SightingModel.subject_id == other_id).values(subject_id=subject_id)
        await self._session.execute(seen)
        of_other = self._select(SightingRejectionModel, SightingRejectionModel.subject_id == other_id)
        rejections = [
            self._row(face_id=row.face_id, subject_id=subject_id, rejected_by=row.rejected_by)
            for row in await self._session.scalars(of_other)
        ]
        if rejections:
            await self._session.execute(insert(SightingRejectionModel).values(rejections).on_conflict_do_nothing())

    async def _covered_ids(self, subject_ids: Collection[UUID]) -> set[UUID]:
        """Return the subjects' row ids, and those under which older backups hold them."""
        statement = self._select(SubjectModel, SubjectModel.id.in_(subject_ids))
        arrays = await self._session.scalars(statement.with_only_columns(SubjectModel.erased_with))
        return set(subject_ids).union(*arrays)

    async def update(self, subject_id: UUID, values: Mapping[str, Any]) -> None:
        """Set `name`, `details` (the metadata) or `expires_at`."""
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(**values))

    async def record_consent(self, subject_id: UUID, reference: str, recorded_by: str) -> None:
        """Record a consent given now; it replaces an earlier consent and ends a withdrawal."""
        values = {
            "consent": reference,
            "consented_at": func.clock_timestamp(),
            "consent_recorded_by": recorded_by,
            "consent_withdrawn_at": None,
        }
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(values))

    async def restore_consent(self, subject_id: UUID, consent: Consent) -> None:
        """Set an imported subject's consent, with its original times."""
        values = {
            "consent": consent.reference,
            "consented_at": consent.recorded_at,
            "consent_recorded_by": consent.recorded_by,
            "consent_withdrawn_at": consent.withdrawn_at,
        }
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(values))

    async def withdraw_consent(self, subject_id: UUID) -> None:
        """Record that the subject's consent is withdrawn now, also in the erasure journal."""
        values = {"consent_withdrawn_at": func.clock_timestamp()}
        await self._session.execute(self._update(SubjectModel, SubjectModel.id == subject_id).values(values))
        self._note_erased(ErasedKind.CONSENT, await self._covered_ids([subject_id]))

    async def delete(self, collection_id: UUID, subject: str) -> UUID | None:
        """Erase a subject with its templates; return its row id, None if it does not exist."""
        row = await self.find_row(collection_id, subject, lock=True)
        if row is None:
            return None
        await self.erase([row.id])
        return row.id

    async def add_anonymous(
        self, collection_id: UUID, subjects: Mapping[UUID, str], like: SubjectRecord | None = None
    ) -> None:
        """Create anonymous subjects; `subjects` maps row ids to subject ids, `like` lends its consent and expiry."""
        terms = {}
        if like is not None:
            terms = {name: getattr(like, name) for name in _TERMS}
        rows = [
            self._row(id=row_id, collection_id=collection_id, subject=subject, is_anonymous=True, **terms)
            for row_id, subject in subjects.items()
        ]
        await self._session.execute(insert(SubjectModel), rows)

    async def lock(self, subject_ids: Sequence[UUID]) -> list[SubjectRecord]:
        """Lock subjects in a fixed order until the transaction ends; return those that exist."""
        rows = self._select(SubjectModel, SubjectModel.id.in_(subject_ids)).order_by(SubjectModel.id)
        return [_record(row) for row in await self._session.scalars(rows.with_for_update())]

    async def delete_empty_anonymous(self, subject_ids: Sequence[UUID]) -> None:
        """Delete those of these subjects that are anonymous and have no face left; erases no face."""
        await self._delete_empty_anonymous(SubjectModel.id.in_(subject_ids))

    async def lock_anonymous_with(self, collection_id: UUID, recognizer: str) -> None:
        """Lock the anonymous subjects that have templates of a recognizer, in the order that `lock` uses."""
        faces = select(TemplateModel.id).where(
            self._of_tenant(TemplateModel),
            TemplateModel.subject_id == SubjectModel.id,
            TemplateModel.recognizer == recognizer,
        )
        rows = self._select(
            SubjectModel,
            SubjectModel.collection_id == collection_id,
            SubjectModel.is_anonymous.is_(True),
            faces.exists(),
        )
        await self._session.execute(rows.with_only_columns(SubjectModel.id).order_by(SubjectModel.id).with_for_update())

    async def delete_empty_anonymous_in(self, collection_id: UUID) -> None:
        """Delete a collection's anonymous subjects without faces; lock the collection first."""
        await self._delete_empty_anonymous(SubjectModel.collection_id == collection_id)

    async def _delete_empty_anonymous(self, condition: ColumnElement[bool]) -> None:
        faces = select(TemplateModel.id).where(
            self._of_tenant(TemplateModel), TemplateModel.subject_id == SubjectModel.id
        )
        await self._session.execute(
            self._delete(
                SubjectModel,
                condition,
                SubjectModel.is_anonymous.is_(True),
                SubjectModel.consent_withdrawn_at.is_(None),
                ~faces.exists(),
            )
        )

    async def delete_row(self, subject_id: UUID) -> None:
        """Delete a subject whose faces were all assigned to others; it does not enter the erasure journal."""
        await self._session.execute(self._delete(SubjectModel, SubjectModel.id == subject_id))

    async def touch(self, subject_id: UUID) -> None:
        """Set the subject's `updated_at` to now, because its faces changed."""
        await self._session.execute(
            self._update(SubjectModel, SubjectModel.id == subject_id).values(updated_at=func.now())
        )

    async def list_named(self, collection_id: UUID, after: UUID | None, limit: int) -> list[tuple[UUID, Subject]]:
        """List up to `limit` named subjects with their row ids, after a row id, by row id."""
        conditions = [SubjectModel.collection_id == collection_id, ~SubjectModel.is_anonymous]
        if after is not None:
            conditions.append(SubjectModel.id > after)
        return await self._read(self._counted(*conditions).order_by(SubjectModel.id).limit(limit))

    async def count_named(self, collection_id: UUID) -> int:
        conditions = (
            self._of_tenant(SubjectModel),
            SubjectModel.collection_id == collection_id,
            ~SubjectModel.is_anonymous,
        )
        return await self._session.scalar(select(func.count()).select_from(SubjectModel).where(*conditions)) or 0

    async def erase(self, subject_ids: Sequence[UUID]) -> None:
        galleries = select(TemplateModel.gallery_id).where(
            self._of_tenant(TemplateModel), TemplateModel.subject_id.in_(subject_ids)
        )
        await self._lock_galleries(GalleryModel.id.in_(galleries))
        # In an older backup a face that was assigned later belongs to another subject, so it gets an entry of its own.
        moved = select(TemplateModel.id).where(
            self._of_tenant(TemplateModel),
            TemplateModel.subject_id.in_(subject_ids),
            TemplateModel.moved_at.is_not(None),
        )
        self._note_erased(ErasedKind.FACE, set(await self._session.scalars(moved)))
        self._note_erased(ErasedKind.SUBJECT, await self._covered_ids(subject_ids))
        await self._session.execute(self._delete(SubjectModel, SubjectModel.id.in_(subject_ids)))

    async def _list(self, *conditions: ColumnElement[bool], limit: int) -> list[Subject]:
        statement = self._counted(*conditions).order_by(SubjectModel.subject).limit(limit)
        return [subject for _, subject in await self._read(statement)]

    def _counted(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Select the columns of subjects and their numbers of faces; rows without ORM objects, for whole pages."""
        templates = (
            select(func.count(TemplateModel.id.distinct()))
            .where(self._of_tenant(TemplateModel), TemplateModel.subject_id == SubjectModel.id)
            .correlate(SubjectModel)
            .scalar_subquery()
        )
        columns: list[Any] = [*_COLUMNS, SubjectModel.details.label("details"), templates.label("templates")]
        return select(*columns).where(self._of_tenant(SubjectModel), *conditions)

    async def _read(self, statement: Select[Any]) -> list[tuple[UUID, Subject]]:
        return [
            (
                row.id,
                Subject(
                    row.subject,
                    row.name,
                    row.details,
                    row.created_at,
                    row.updated_at,
                    row.templates,
                    describe_consent(row),
                    row.expires_at,
                ),
            )
            for row in await self._session.execute(statement)
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


def describe_consent(row: Any) -> Consent | None:
    """Read the subject's consent; None if none was ever recorded."""
    if row.consent is None or row.consented_at is None:
        return None
    return Consent(row.consent, row.consented_at, row.consent_recorded_by or "", row.consent_withdrawn_at)
