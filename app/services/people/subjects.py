"""Subjects and their faces: create, list, read, erase."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from app.domain.people import Subject, SubjectRecord, Template
from app.errors import FaceNotFound, InvalidCursor, SubjectExists, SubjectNotFound
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.security.audit_chain import Detail, SealedEntry
from app.security.cursors import CursorSigner
from app.security.receipts import SignedReceipt
from app.services.audit.trail import AuditAction, AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.erasure.receipts import ReceiptOffice
from app.services.paging import Page, PageRequest, cut_page
from app.services.people.registration import check_expiry, refuse_reserved, refuse_to_shorten


class Unchanged(Enum):
    """For what a change leaves as it is; None is a value."""

    TOKEN = 0


UNCHANGED: Literal[Unchanged.TOKEN] = Unchanged.TOKEN


@dataclass(frozen=True, slots=True)
class SubjectChanges:
    """What to change of a subject."""

    name: str | Unchanged | None = UNCHANGED
    metadata: dict[str, Any] | Unchanged = UNCHANGED
    expires_at: datetime | Unchanged | None = UNCHANGED


class SubjectService:
    """The subjects of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        templates: TemplateRepository,
        answers: IdempotencyRecords,
        cursors: CursorSigner,
        trail: AuditTrail,
        receipts: ReceiptOffice,
        *,
        may_delete: bool,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._templates = templates
        self._idempotency_records = answers
        self._cursors = cursors
        self._trail = trail
        self._receipts = receipts
        self._may_delete = may_delete

    async def create(
        self,
        collection: str,
        subject: str,
        name: str | None,
        metadata: dict[str, Any],
        *,
        consent: str | None = None,
        expires_at: datetime | None = None,
    ) -> Subject:
        """Create a subject without faces; raises `CollectionNotFound` or `SubjectExists`."""
        check_expiry(expires_at)
        refuse_reserved(subject)
        collection_id = await self._collections.find_id(collection, lock=True)
        subject_id = await self._subjects.add(collection_id, subject, name, metadata, expires_at)
        if subject_id is None:
            raise SubjectExists(f"Collection {collection!r} has a subject {subject!r} already.")
        if consent is not None:
            await self._subjects.record_consent(subject_id, consent, self._trail.actor)
        await self._record(AuditAction.SUBJECT_CREATED, collection, subject, with_consent=consent is not None)
        return await self._found(collection_id, collection, subject)

    async def change(self, collection: str, subject: str, changes: SubjectChanges) -> Subject:
        """Change what is given; raises `SubjectNotFound`."""
        if not isinstance(changes.expires_at, Unchanged):
            check_expiry(changes.expires_at)
        collection_id, row = await self._lock_subject(collection, subject)
        if not isinstance(changes.expires_at, Unchanged) and not self._may_delete:
            refuse_to_shorten(row.expires_at, changes.expires_at)
        given = {
            column: value
            for column, value in (
                ("name", changes.name),
                ("details", changes.metadata),
                ("expires_at", changes.expires_at),
            )
            if value is not UNCHANGED
        }
        if given:
            await self._subjects.change(row.id, given)
            fields = ["metadata" if column == "details" else column for column in given]
            await self._record(AuditAction.SUBJECT_CHANGED, collection, subject, fields=fields)
        return await self._found(collection_id, collection, subject)

    async def record_consent(self, collection: str, subject: str, reference: str) -> Subject:
        """Note that the person agreed; raises `SubjectNotFound`."""
        collection_id, subject_id = await self._held(collection, subject)
        await self._subjects.record_consent(subject_id, reference, self._trail.actor)
        await self._record(AuditAction.CONSENT_RECORDED, collection, subject)
        return await self._found(collection_id, collection, subject)

    async def withdraw_consent(self, collection: str, subject: str) -> Subject:
        """Note that the person agrees no longer, and erase their faces: no search finds them from here on.

        The subject stays, so that nobody registers them again without a new consent.
        """
        collection_id, subject_id = await self._held(collection, subject)
        faces = await self._templates.delete_all(subject_id)
        await self._subjects.withdraw_consent(subject_id)
        await self._idempotency_records.forget_about(collection, subject)
        await self._record(AuditAction.CONSENT_WITHDRAWN, collection, subject, faces=faces)
        return await self._found(collection_id, collection, subject)

    async def list(self, collection: str, request: PageRequest) -> Page[Subject]:
        """One page of a collection's subjects, by the caller's id."""
        collection_id = await self._collections.find_id(collection)
        scope = f"{self._subjects.tenant_id}/collections/{collection_id}/subjects"
        after = self._cursors.open(scope, request.cursor) if request.cursor else None
        found = await self._subjects.list_page(collection_id, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.subject))

    async def get(self, collection: str, subject: str) -> Subject:
        """One subject; raises `CollectionNotFound` or `SubjectNotFound`."""
        return await self._found(await self._collections.find_id(collection), collection, subject)

    async def delete(self, collection: str, subject: str) -> SignedReceipt:
        """Erase a subject and their templates in one transaction."""
        collection_id, subject_id = await self._held(collection, subject)
        faces = await self._templates.count(subject_id)
        await self._subjects.delete(collection_id, subject)
        await self._idempotency_records.forget_about(collection, subject)
        done = await self._record(AuditAction.SUBJECT_ERASED, collection, subject, faces=faces)
        return self._receipts.confirm(done)

    async def list_faces(self, collection: str, subject: str, request: PageRequest) -> Page[Template]:
        """One page of a subject's stored faces."""
        subject_id = await self._subject_id(collection, subject)
        scope = f"{self._subjects.tenant_id}/subjects/{subject_id}/faces"
        after = self._cursors.open(scope, request.cursor) if request.cursor else None
        try:
            position = UUID(after) if after else None
        except ValueError as exc:  # pragma: no cover - a signed position is a UUID
            raise InvalidCursor from exc
        found = await self._templates.list_page(subject_id, position, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.id)))

    async def get_face(self, collection: str, subject: str, face_id: UUID) -> Template:
        """One stored face; raises `FaceNotFound`."""
        found = await self._templates.find(await self._subject_id(collection, subject), face_id)
        if found is None:
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id}.")
        return found

    async def delete_face(self, collection: str, subject: str, face_id: UUID) -> None:
        """Erase one stored face; the subject stays, unless it is anonymous and stood for this face."""
        _, subject_id = await self._held(collection, subject)
        if not await self._templates.delete(subject_id, face_id):
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id}.")
        await self._subjects.drop_empty_anonymous([subject_id])
        await self._idempotency_records.forget_about(collection, subject)
        await self._record(AuditAction.FACE_ERASED, collection, subject, faces=1)

    async def _held(self, collection: str, subject: str) -> tuple[UUID, UUID]:
        """The ids of the collection and of the subject, whose row is held until the transaction ends."""
        collection_id, row = await self._lock_subject(collection, subject)
        return collection_id, row.id

    async def _lock_subject(self, collection: str, subject: str) -> tuple[UUID, SubjectRecord]:
        collection_id = await self._collections.find_id(collection)
        row = await self._subjects.find_row(collection_id, subject, lock=True)
        if row is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return collection_id, row

    async def _record(self, action: AuditAction, collection: str, subject: str, **details: Detail) -> SealedEntry:
        target = self._trail.name_subject(collection, subject)
        return await self._trail.record(action, target, collection=collection, **details)

    async def _subject_id(self, collection: str, subject: str) -> UUID:
        row = await self._subjects.find_row(await self._collections.find_id(collection), subject)
        if row is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return row.id

    async def _found(self, collection_id: UUID, collection: str, subject: str) -> Subject:
        found = await self._subjects.find(collection_id, subject)
        if found is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return found


def _no_subject(collection: str, subject: str) -> str:
    return f"Collection {collection!r} has no subject {subject!r}."
