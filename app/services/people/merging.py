"""Merge two subjects of one person: all faces of one move to the other, keeping their ids."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.domain.people import MAX_METADATA_BYTES, Subject, SubjectRecord
from app.errors import ConsentWithdrawn, InvalidParameter, SubjectFull, SubjectNotFound
from app.persistence.repositories.collection_faces import CollectionFaceRepository, FaceFilter
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.people.consent import ConsentGate
from app.services.people.rules import find_earlier_expiry, refuse_anonymous, require_delete

MAX_MERGED_FACES = 1_000
"""The number of faces up to which a subject may receive those of another."""


@dataclass(frozen=True, slots=True)
class Merger:
    """The receiving subject after a merge, and the number of faces that moved to it."""

    subject: Subject
    faces: int


class MergeService:
    """Merge subjects of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        faces: CollectionFaceRepository,
        consent: ConsentGate,
        idempotency_records: IdempotencyRecords,
        trail: AuditTrail,
        *,
        may_delete: bool,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._faces = faces
        self._consent = consent
        self._idempotency_records = idempotency_records
        self._trail = trail
        self._may_delete = may_delete

    async def merge(self, collection: str, subject: str, into: str) -> Merger:
        """Assign all faces of `subject` to `into`, and delete `subject`.

        The receiver keeps its name, metadata and consent; it takes over those that it lacks, and the earlier expiry of
        both. Raises `PermissionDenied` if the caller may not delete, `InvalidParameter` for a subject and itself and
        for metadata that becomes too large, `CollectionNotFound`, `SubjectNotFound`, `SubjectAnonymous`,
        `SubjectFull`, `ConsentRequired` if the receiver lacks a required consent, or `ConsentWithdrawn` if one of both
        withdrew it.
        """
        require_delete(self._may_delete, "Merging subjects")
        if subject == into:
            raise InvalidParameter(f"into: {into!r} is the subject itself; name another one.", field="into")
        collection_id = await self._collections.find_id(collection, lock=True)
        rows = await self._subjects.lock_named(collection_id, subject, into)
        former = await self._get(rows, collection_id, collection, subject)
        receiver = await self._get(rows, collection_id, collection, into)
        refuse_anonymous(rows[subject])
        refuse_anonymous(rows[into], "into")
        _refuse_withdrawn(rows[subject])
        await self._consent.require(collection_id, into)
        total = former.templates + receiver.templates
        if total > MAX_MERGED_FACES:
            raise SubjectFull(f"into: {into!r} would have {total} faces; the maximum is {MAX_MERGED_FACES}.")
        return await self._merge(collection, collection_id, (former, rows[subject].id), (receiver, rows[into].id))

    async def _merge(
        self, collection: str, collection_id: UUID, former: tuple[Subject, UUID], receiver: tuple[Subject, UUID]
    ) -> Merger:
        (from_subject, from_id), (to_subject, to_id) = former, receiver
        values = _take_over(from_subject, to_subject)
        await self._subjects.update(to_id, values)
        if to_subject.consent is None and from_subject.consent is not None:
            await self._subjects.restore_consent(to_id, from_subject.consent)
        moved = await self._assign(collection_id, from_id, to_id)
        await self._subjects.absorb(to_id, from_id)
        await self._idempotency_records.redact_about(collection, from_subject.subject)
        ids = (collection, from_subject.subject), (collection, to_subject.subject)
        await self._trail.record_succession(AuditAction.SUBJECT_MERGED, *ids, faces=moved)
        merged = await self._subjects.find(collection_id, to_subject.subject)
        assert merged is not None  # locked above
        return Merger(merged, moved)

    async def _assign(self, collection_id: UUID, from_id: UUID, to_id: UUID) -> int:
        """Assign all faces of one locked subject to another; return their number."""
        listed = await self._faces.list_page(collection_id, None, MAX_MERGED_FACES + 1, FaceFilter(subject_id=from_id))
        stored = await self._faces.find_by_ids(collection_id, [face.face.id for face in listed], {from_id})
        faces = [stored[face.face.id] for face in listed if face.face.id in stored]
        if faces:
            await self._faces.assign(faces, {face.face.id: to_id for face in faces})
        return len(faces)

    async def _get(
        self, rows: Mapping[str, SubjectRecord], collection_id: UUID, collection: str, subject: str
    ) -> Subject:
        found = await self._subjects.find(collection_id, subject) if subject in rows else None
        if found is None:
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        return found


def _refuse_withdrawn(former: SubjectRecord) -> None:
    """Raise `ConsentWithdrawn`: a merge would hide that the person may not be registered again."""
    if former.consent_withdrawn_at is not None:
        raise ConsentWithdrawn(
            f"subject: {former.subject!r} withdrew the consent; record a new one (`PUT .../consent`) before you merge.",
            field="subject",
        )


def _take_over(former: Subject, receiver: Subject) -> dict[str, Any]:
    """Return the receiver's columns after a merge; raises `InvalidParameter` for metadata that is too large."""
    metadata = {**former.metadata, **receiver.metadata}
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > MAX_METADATA_BYTES and len(metadata) > len(receiver.metadata):
        raise InvalidParameter(
            f"into: the metadata of both would be {size} bytes long; the maximum is {MAX_METADATA_BYTES}. Remove keys "
            f"from one of both first.",
            field="into",
        )
    name = receiver.name if receiver.name is not None else former.name
    expires_at = find_earlier_expiry(former.expires_at, receiver.expires_at)
    return {"name": name, "details": metadata, "expires_at": expires_at}
