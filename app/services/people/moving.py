"""Move a subject to another collection: name, metadata, consent, expiry and faces stay, and so do the faces' ids."""

from dataclasses import dataclass
from uuid import UUID

from app.domain.collections import CollectionRecord, Recognizers
from app.domain.people import Subject
from app.errors import InvalidParameter, RecognizerMismatch, SubjectExists, SubjectNotFound
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.relocations import RelocatedFaces, RelocationRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.people.rules import refuse_anonymous, refuse_reserved_id, require_delete

MAX_MOVED_FACES = 1_000
"""The number of faces up to which a subject may move."""


@dataclass(frozen=True, slots=True)
class Move:
    """A subject in its new collection, and what became of its faces."""

    collection: str
    subject: Subject
    faces: RelocatedFaces


class MoveService:
    """Move subjects between the collections of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        templates: TemplateRepository,
        relocations: RelocationRepository,
        idempotency_records: IdempotencyRecords,
        trail: AuditTrail,
        *,
        may_delete: bool,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._templates = templates
        self._relocations = relocations
        self._idempotency_records = idempotency_records
        self._trail = trail
        self._may_delete = may_delete

    async def move(self, collection: str, subject: str, to_collection: str, new_id: str | None = None) -> Move:
        """Move a subject to another collection, as `new_id` or under its present id.

        Templates of recognizers that the other collection does not use are erased. Faces from an album's photo leave
        the album: it finds them no more, and erasing the photo or the album spares them. Raises `PermissionDenied` if
        the caller may not delete, `InvalidParameter` for the same collection, a reserved id or too many faces,
        `CollectionNotFound`, `SubjectNotFound`, `SubjectAnonymous`, `SubjectExists`, or `RecognizerMismatch` if no
        face has a template of the other collection's recognizer.
        """
        require_delete(self._may_delete, "Moving a subject out of a collection")
        if collection == to_collection:
            raise InvalidParameter(
                f"collection: the subject is in {collection!r} already; name another collection, or send `subject` "
                f"with `PATCH` for another id.",
                field="collection",
            )
        new_id = subject if new_id is None else new_id
        if new_id != subject:
            refuse_reserved_id(new_id)
        source, target = await self._collections.lock_both(collection, to_collection)
        row = await self._subjects.find_row(source.id, subject, lock=True)
        if row is None:
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        refuse_anonymous(row)
        if not await self._subjects.move(row.id, target.id, new_id):
            raise SubjectExists(
                f"subject: collection {to_collection!r} already has a subject {new_id!r}; choose another id.",
                field="subject",
            )
        faces = await self._move_faces(row.id, subject, source, target)
        await self._idempotency_records.redact_about(collection, subject)
        former, current = (collection, subject), (to_collection, new_id)
        await self._trail.record_succession(AuditAction.SUBJECT_MOVED, former, current, faces=faces.faces)
        moved = await self._subjects.find(target.id, new_id)
        assert moved is not None  # just moved
        return Move(to_collection, moved, faces)

    async def _move_faces(
        self, subject_id: UUID, subject: str, source: CollectionRecord, target: CollectionRecord
    ) -> RelocatedFaces:
        count = await self._templates.count(subject_id)
        if not count:
            return RelocatedFaces()
        if count > MAX_MOVED_FACES:
            raise InvalidParameter(
                f"subject: {subject!r} has {count} faces; at most {MAX_MOVED_FACES} can move. Erase some first.",
                field="subject",
            )
        in_use = await self._collections.bind_recognizer(target, source.recognizer)
        present = await self._relocations.find_recognizers(subject_id)
        if in_use not in present:
            raise RecognizerMismatch(
                f"collection: {target.name!r} uses the recognizer {in_use!r}, but the faces of {subject!r} have only "
                f"templates of {', '.join(map(repr, sorted(present)))}. Add the recognizer to {source.name!r} and "
                f"migrate it first.",
                field="collection",
            )
        used = Recognizers(in_use, target.secondary_recognizer)
        return await self._relocations.move(subject_id, source.id, target.id, used.all)
