"""Export all stored data about a subject, and import it again."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from app.domain.collections import Recognizers
from app.domain.people import ExportedFace, Subject
from app.domain.sightings import FaceDecisions
from app.errors import InvalidParameter, RecognizerMismatch, SubjectExists, SubjectNotFound
from app.permissions import Quota
from app.persistence.repositories.audit import AuditFilter, AuditRepository
from app.persistence.repositories.face_crops import FaceCropRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.security.audit_chain import SealedEntry
from app.services.audit.actions import AuditAction
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.people.portable_decisions import PortableDecisions
from app.services.people.rules import refuse_past_expiry, refuse_reserved_id

NO_DECISIONS = FaceDecisions()
_MAX_ENTRIES = 1_000
_MAX_LENGTH_ERROR = 0.01
"""How far an embedding's length may differ from 1, because exported values are rounded."""


@dataclass(frozen=True, slots=True)
class SubjectExport:
    """A subject with all faces and embeddings, and the newest audit entries about it."""

    collection: str
    subject: Subject
    faces: list[ExportedFace]
    audit: list[SealedEntry]
    pictures: dict[UUID, bytes] = field(default_factory=dict, repr=False)
    """A JPEG of each face whose album keeps pictures, by face id."""
    decisions: FaceDecisions = NO_DECISIONS
    """What people decided about faces in albums."""


class PortabilityService:
    """Export and import the subjects of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        storage: FaceStorage,
        entries: AuditRepository,
        crops: FaceCropRepository,
        decisions: PortableDecisions,
    ) -> None:
        self._crops = crops
        self._decisions = decisions
        self._collections = collections
        self._subjects = subjects
        self._storage = storage
        self._entries = entries
        self._trail = storage.trail

    async def export(self, collection: str, subject: str) -> SubjectExport:
        """Return all stored data about a subject, and record the export in the audit trail.

        Raises `CollectionNotFound` or `SubjectNotFound`.
        """
        collection_id = await self._collections.find_id(collection)
        row = await self._subjects.find_row(collection_id, subject, lock=True)
        described = await self._subjects.find(collection_id, subject)
        if row is None or described is None:
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        faces = await self._storage.templates.export(row.id)
        targets = self._trail.all_subject_targets(collection, subject)
        entries = await self._entries.list_page(AuditFilter(targets=targets), None, _MAX_ENTRIES)
        await self._trail.record_subject(AuditAction.SUBJECT_EXPORTED, collection, subject, faces=_count(faces))
        pictures = await self._crops.find_all([face.id for face in faces])
        decisions = await self._decisions.export(row.id)
        return SubjectExport(collection, described, faces, entries, pictures, decisions)

    async def import_subject(
        self, collection: str, subject: Subject, faces: Sequence[ExportedFace], decisions: FaceDecisions = NO_DECISIONS
    ) -> Subject:
        """Store an exported subject under new ids, with its name, metadata, consent, expiry, faces and decisions.

        Stores the templates of the collection's own recognizers. Raises `SubjectExists`, `RecognizerMismatch` if no
        face has a template of the recognizer in use, and the errors of a registration.
        """
        refuse_past_expiry(subject.expires_at)
        refuse_reserved_id(subject.subject)
        usable: Sequence[ExportedFace] = ()
        if faces:
            collection_id, recognizers = await self._collections.lock_for_storing(collection)
            usable = _select_usable(faces, recognizers)
        else:
            collection_id = await self._collections.find_id(collection, lock=True)
        subject_id = await self._store(collection, collection_id, subject, usable)
        await self._decisions.restore(subject_id, decisions)
        await self._trail.record_subject(
            AuditAction.SUBJECT_IMPORTED,
            collection,
            subject.subject,
            faces=_count(usable),
            with_consent=subject.consent is not None,
        )
        found = await self._subjects.find(collection_id, subject.subject)
        assert found is not None  # just written
        return found

    async def _store(
        self, collection: str, collection_id: UUID, subject: Subject, faces: Sequence[ExportedFace]
    ) -> UUID:
        subject_id = await self._subjects.add(
            collection_id, subject.subject, subject.name, subject.metadata, subject.expires_at
        )
        if subject_id is None:
            raise SubjectExists(f"Collection {collection!r} already has a subject {subject.subject!r}.")
        if subject.consent is not None:
            await self._subjects.restore_consent(subject_id, subject.consent)
        if faces:
            await self._storage.consent.require(collection_id, subject.subject)
            await self._storage.templates.add_exported(faces, collection_id=collection_id, subject_id=subject_id)
            await self._storage.quotas.check(Quota.TEMPLATES)
        return subject_id


def _count(templates: Sequence[ExportedFace]) -> int:
    return len({template.id for template in templates})


def _select_usable(faces: Sequence[ExportedFace], recognizers: Recognizers) -> list[ExportedFace]:
    """Select the templates of the collection's recognizers, scaled to unit length.

    Raises `RecognizerMismatch` if the recognizer in use made none, or `InvalidParameter` for duplicates and for
    embeddings of another length.
    """
    if recognizers.in_use not in {face.recognizer for face in faces}:
        raise RecognizerMismatch(
            f"faces: none is from {recognizers.in_use!r}, the collection's recognizer in use; faces[0] is from "
            f"{faces[0].recognizer!r}.",
            field="faces",
        )
    seen = set[tuple[UUID, str]]()
    usable = []
    for index, face in enumerate(faces):
        if (face.id, face.recognizer) in seen:
            raise InvalidParameter(
                f"faces[{index}].face_id: {face.id} appears twice with the recognizer {face.recognizer!r}.",
                field="faces",
            )
        seen.add((face.id, face.recognizer))
        if face.recognizer in recognizers.all:
            _check_length(index, face)
            usable.append(_normalize(face))
    return usable


def _check_length(index: int, face: ExportedFace) -> None:
    length = float(np.linalg.norm(face.embedding))
    if not abs(length - 1) < _MAX_LENGTH_ERROR:
        raise InvalidParameter(
            f"faces[{index}].embedding: its length is {length:.9g}; it must be 1, within {_MAX_LENGTH_ERROR:g}.",
            field="faces",
        )


def _normalize(face: ExportedFace) -> ExportedFace:
    return replace(face, embedding=face.embedding / np.float32(np.linalg.norm(face.embedding)))
