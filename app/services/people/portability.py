"""Everything held about a person, to take along: given out whole, and taken in again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from app.domain.collections import Recognizers
from app.domain.people import ExportedFace, Subject
from app.errors import InvalidParameter, RecognizerMismatch, SubjectExists, SubjectNotFound
from app.permissions import Quota
from app.persistence.repositories.audit import AuditFilter, AuditRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.security.audit_chain import SealedEntry
from app.services.audit.trail import AuditAction
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.people.registration import check_expiry, refuse_reserved

_MAX_ENTRIES = 1_000
_MAX_DEVIATION = 0.01  # of an embedding's length from 1: the rounding of what was exported


@dataclass(frozen=True, slots=True)
class SubjectExport:
    """A subject with their faces, embeddings included, and the newest of what the audit trail says about them."""

    collection: str
    subject: Subject
    faces: list[ExportedFace]
    audit: list[SealedEntry]


class PortabilityService:
    """Exports and imports the subjects of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        storage: FaceStorage,
        entries: AuditRepository,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._storage = storage
        self._entries = entries
        self._trail = storage.trail

    async def export(self, collection: str, subject: str) -> SubjectExport:
        """Everything held about a subject; raises `CollectionNotFound` or `SubjectNotFound`. It is written down."""
        collection_id = await self._collections.find_id(collection)
        held = await self._subjects.find_row(collection_id, subject, lock=True)
        described = await self._subjects.find(collection_id, subject)
        if held is None or described is None:
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        faces = await self._storage.templates.export(held.id)
        targets = self._trail.all_names_of_subject(collection, subject)
        entries = await self._entries.list_page(AuditFilter(targets=targets), None, _MAX_ENTRIES)
        await self._trail.record(
            AuditAction.SUBJECT_EXPORTED,
            self._trail.name_subject(collection, subject),
            collection=collection,
            faces=_count(faces),
        )
        return SubjectExport(collection, described, faces, entries)

    async def import_subject(self, collection: str, subject: Subject, faces: Sequence[ExportedFace]) -> Subject:
        """Store an exported subject anew, with new ids, as who they were: name, metadata, consent, expiry, faces.

        What the collection's own recognizers embedded is taken. Raises `SubjectExists`, `RecognizerMismatch` where the
        one in use embedded none of the faces, and whatever registering them would.
        """
        check_expiry(subject.expires_at)
        refuse_reserved(subject.subject)
        own: Sequence[ExportedFace] = ()
        if faces:
            collection_id, wanted = await self._collections.lock_for_storing(collection)
            own = _take(faces, wanted)
        else:
            collection_id = await self._collections.find_id(collection, lock=True)
        subject_id = await self._subjects.add(
            collection_id, subject.subject, subject.name, subject.metadata, subject.expires_at
        )
        if subject_id is None:
            raise SubjectExists(f"Collection {collection!r} has a subject {subject.subject!r} already.")
        if subject.consent is not None:
            await self._subjects.restore_consent(subject_id, subject.consent)
        if own:
            await self._storage.consent.require(collection_id, subject.subject)
            await self._storage.templates.import_subject(own, collection_id=collection_id, subject_id=subject_id)
            await self._storage.quotas.check(Quota.TEMPLATES)
        await self._trail.record(
            AuditAction.SUBJECT_IMPORTED,
            self._trail.name_subject(collection, subject.subject),
            collection=collection,
            faces=_count(own),
            with_consent=subject.consent is not None,
        )
        found = await self._subjects.find(collection_id, subject.subject)
        assert found is not None  # just written
        return found


def _count(templates: Sequence[ExportedFace]) -> int:
    return len({one.id for one in templates})


def _take(faces: Sequence[ExportedFace], wanted: Recognizers) -> list[ExportedFace]:
    """Those that the collection's recognizers made."""
    if wanted.in_use not in {face.recognizer for face in faces}:
        raise RecognizerMismatch(
            f"faces[0] is of recognizer {faces[0].recognizer!r}; in use is {wanted.in_use!r}, which made none of them.",
            field="faces",
        )
    seen = set[tuple[UUID, str]]()
    own = []
    for index, face in enumerate(faces):
        if (face.id, face.recognizer) in seen:
            raise InvalidParameter(f"faces[{index}].face_id: {face.id} is there twice.", field="faces")
        seen.add((face.id, face.recognizer))
        if face.recognizer in wanted.all:
            _check(index, face)
            own.append(_of_unit_length(face))
    return own


def _check(index: int, face: ExportedFace) -> None:
    length = float(np.linalg.norm(face.embedding))
    if not abs(length - 1) < _MAX_DEVIATION:
        raise InvalidParameter(f"faces[{index}].embedding has the length {length:g}; it needs to be 1.", field="faces")


def _of_unit_length(face: ExportedFace) -> ExportedFace:
    return replace(face, embedding=face.embedding / np.float32(np.linalg.norm(face.embedding)))
