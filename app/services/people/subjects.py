"""Create, change and erase subjects and their faces."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from app.domain.people import Subject, SubjectRecord, Template
from app.errors import FaceNotFound, InvalidParameter, SubjectExists, SubjectNotFound
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.security.audit_chain import SealedEntry
from app.security.cursors import CursorSigner
from app.security.receipts import SignedReceipt
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.erasure.receipts import ReceiptSigner
from app.services.paging import Page, PageRequest, cut_page
from app.services.people.rules import refuse_anonymous, refuse_past_expiry, refuse_reserved_id, refuse_shorter_expiry

MAX_ERASED_SUBJECTS = 1_000
"""The number of subjects that one request may erase."""


class Unchanged(Enum):
    """The type of `UNCHANGED`, which marks a field that a change leaves alone; None is a value."""

    TOKEN = 0


UNCHANGED: Literal[Unchanged.TOKEN] = Unchanged.TOKEN


@dataclass(frozen=True, slots=True)
class SubjectChanges:
    """The new values of a subject's fields."""

    subject: str | Unchanged = UNCHANGED
    name: str | Unchanged | None = UNCHANGED
    metadata: dict[str, Any] | Unchanged = UNCHANGED
    expires_at: datetime | Unchanged | None = UNCHANGED


class SubjectService:
    """Manage the subjects of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        templates: TemplateRepository,
        idempotency_records: IdempotencyRecords,
        cursors: CursorSigner,
        trail: AuditTrail,
        receipts: ReceiptSigner,
        *,
        may_delete: bool,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._templates = templates
        self._idempotency_records = idempotency_records
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
        """Create a subject without faces.

        Raises `CollectionNotFound`, `SubjectExists`, or `InvalidParameter` for a reserved id or a past expiry.
        """
        refuse_past_expiry(expires_at)
        refuse_reserved_id(subject)
        collection_id = await self._collections.find_id(collection, lock=True)
        subject_id = await self._subjects.add(collection_id, subject, name, metadata, expires_at)
        if subject_id is None:
            raise SubjectExists(f"Collection {collection!r} already has a subject {subject!r}.")
        if consent is not None:
            await self._subjects.record_consent(subject_id, consent, self._trail.actor)
        await self._record(AuditAction.SUBJECT_CREATED, collection, subject, with_consent=consent is not None)
        return await self._get(collection_id, collection, subject)

    async def change(self, collection: str, subject: str, changes: SubjectChanges) -> Subject:
        """Change the given fields.

        Raises `SubjectNotFound`, `SubjectExists` if a new id is taken, `SubjectAnonymous` for a new id of an anonymous
        subject, `InvalidParameter` for a reserved id or a past expiry, or `PermissionDenied` for an earlier expiry if
        the caller may not delete.
        """
        new_id = subject if isinstance(changes.subject, Unchanged) else changes.subject
        if new_id != subject:
            refuse_reserved_id(new_id)
        if not isinstance(changes.expires_at, Unchanged):
            refuse_past_expiry(changes.expires_at)
        collection_id, row = await self._lock_subject(collection, subject)
        if not isinstance(changes.expires_at, Unchanged) and not self._may_delete:
            refuse_shorter_expiry(row.expires_at, changes.expires_at)
        if new_id != subject:
            await self._rename(collection, row, new_id)
        values = {
            column: value
            for column, value in (
                ("name", changes.name),
                ("details", changes.metadata),
                ("expires_at", changes.expires_at),
            )
            if value is not UNCHANGED
        }
        if values:
            await self._subjects.update(row.id, values)
            fields = ["metadata" if column == "details" else column for column in values]
            await self._record(AuditAction.SUBJECT_CHANGED, collection, subject, fields=fields)
        if new_id != subject:
            former, new = (collection, subject), (collection, new_id)
            await self._trail.record_succession(AuditAction.SUBJECT_RENAMED, former, new)
        return await self._get(collection_id, collection, new_id)

    async def _rename(self, collection: str, row: SubjectRecord, new_id: str) -> None:
        refuse_anonymous(row)
        if not await self._subjects.rename(row.id, new_id):
            detail = f"subject: collection {collection!r} already has a subject {new_id!r}; choose another id."
            raise SubjectExists(detail, field="subject")
        await self._idempotency_records.redact_about(collection, row.subject)

    async def record_consent(self, collection: str, subject: str, reference: str) -> Subject:
        """Record the person's consent; `reference` is the caller's reference to the proof. Raises `SubjectNotFound`."""
        collection_id, subject_id = await self._lock_ids(collection, subject)
        await self._subjects.record_consent(subject_id, reference, self._trail.actor)
        await self._record(AuditAction.CONSENT_RECORDED, collection, subject)
        return await self._get(collection_id, collection, subject)

    async def withdraw_consent(self, collection: str, subject: str) -> Subject:
        """Record that the person withdrew the consent, and erase their faces.

        The subject stays, so that the person cannot be registered again without a new consent. Raises
        `SubjectNotFound`.
        """
        collection_id, subject_id = await self._lock_ids(collection, subject)
        faces = await self._templates.delete_all(subject_id)
        await self._subjects.withdraw_consent(subject_id)
        await self._idempotency_records.redact_about(collection, subject)
        await self._record(AuditAction.CONSENT_WITHDRAWN, collection, subject, faces=faces)
        return await self._get(collection_id, collection, subject)

    async def get(self, collection: str, subject: str) -> Subject:
        """Return one subject; raises `CollectionNotFound` or `SubjectNotFound`."""
        return await self._get(await self._collections.find_id(collection), collection, subject)

    async def delete(self, collection: str, subject: str) -> SignedReceipt:
        """Erase a subject with all templates, and return a signed receipt; raises `SubjectNotFound`."""
        collection_id, subject_id = await self._lock_ids(collection, subject)
        faces = await self._templates.count(subject_id)
        await self._subjects.delete(collection_id, subject)
        await self._idempotency_records.redact_about(collection, subject)
        done = await self._record(AuditAction.SUBJECT_ERASED, collection, subject, faces=faces)
        return self._receipts.sign(done)

    async def delete_all(self, collection: str) -> int:
        """Erase all named subjects of a collection; return their number.

        Raises `CollectionNotFound`, or `InvalidParameter` for more than 1,000 subjects.
        """
        collection_id = await self._collections.find_id(collection, lock=True)
        found = await self._subjects.list_named(collection_id, None, MAX_ERASED_SUBJECTS + 1)
        if len(found) > MAX_ERASED_SUBJECTS:
            raise InvalidParameter(
                f"subjects: the collection has more than {MAX_ERASED_SUBJECTS}, the most that one request can erase. "
                f"Erase them one by one, or delete the collection."
            )
        faces = {id_: subject.templates for id_, subject in found}
        locked = [row for row in await self._subjects.lock(list(faces)) if not row.is_anonymous]
        if locked:
            await self._subjects.erase([row.id for row in locked])
        for row in locked:
            await self._idempotency_records.redact_about(collection, row.subject)
            await self._record(AuditAction.SUBJECT_ERASED, collection, row.subject, faces=faces[row.id])
        return len(locked)

    async def list_faces(self, collection: str, subject: str, request: PageRequest) -> Page[Template]:
        """List one page of a subject's stored faces; raises `SubjectNotFound`."""
        subject_id = await self._find_id(collection, subject)
        scope = f"{self._subjects.tenant_id}/subjects/{subject_id}/faces"
        after = self._cursors.open(scope, request.cursor, UUID) if request.cursor else None
        found = await self._templates.list_page(subject_id, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.id)))

    async def get_face(self, collection: str, subject: str, face_id: UUID) -> Template:
        """Return one stored face; raises `SubjectNotFound` or `FaceNotFound`."""
        found = await self._templates.find(await self._find_id(collection, subject), face_id)
        if found is None:
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id}.")
        return found

    async def delete_face(self, collection: str, subject: str, face_id: UUID) -> None:
        """Erase one stored face; the subject stays, unless it is anonymous and has no other face.

        Raises `SubjectNotFound` or `FaceNotFound`.
        """
        _, subject_id = await self._lock_ids(collection, subject)
        if not await self._templates.delete(subject_id, face_id):
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id}.")
        await self._subjects.delete_empty_anonymous([subject_id])
        await self._idempotency_records.redact_about(collection, subject)
        ids = {"face_ids": [str(face_id)]}
        await self._trail.record_subject(AuditAction.FACE_ERASED, collection, subject, ids=ids, faces=1)

    async def _lock_ids(self, collection: str, subject: str) -> tuple[UUID, UUID]:
        """Lock the subject until the transaction ends; return the ids of the collection and the subject."""
        collection_id, row = await self._lock_subject(collection, subject)
        return collection_id, row.id

    async def _lock_subject(self, collection: str, subject: str) -> tuple[UUID, SubjectRecord]:
        collection_id = await self._collections.find_id(collection)
        row = await self._subjects.find_row(collection_id, subject, lock=True)
        if row is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return collection_id, row

    async def _record(self, action: AuditAction, collection: str, subject: str, **details: Any) -> SealedEntry:
        return await self._trail.record_subject(action, collection, subject, **details)

    async def _find_id(self, collection: str, subject: str) -> UUID:
        row = await self._subjects.find_row(await self._collections.find_id(collection), subject)
        if row is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return row.id

    async def _get(self, collection_id: UUID, collection: str, subject: str) -> Subject:
        found = await self._subjects.find(collection_id, subject)
        if found is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return found


def _no_subject(collection: str, subject: str) -> str:
    return f"Collection {collection!r} has no subject {subject!r}."
