"""Assign stored faces to named subjects, and make them anonymous again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID, uuid4

from app.domain.faces import Embedding
from app.domain.people import Subject, SubjectRecord
from app.errors import InvalidParameter, SubjectFull, SubjectNotFound
from app.matcher.subject_similarity import MAX_COMMON_TEMPLATES, measure_consistency
from app.persistence.repositories.collection_faces import CollectionFaceRepository, FaceFilter, GalleryFace
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.security.cursors import CursorSigner
from app.services.audit.actions import AuditAction
from app.services.collections.lookup import CollectionLookup
from app.services.paging import Page, PageRequest, cut_page
from app.services.people.face_storage import FaceStorage
from app.services.people.rules import anonymous_name, refuse_shorter_expiry

MAX_FACES = 100
"""The number of faces up to which faces may be assigned to a subject."""
MAX_UNASSIGNED_AT_ONCE = 1_000
"""The number of faces that one request may unassign from a subject."""


class AssignmentRefusal(Enum):
    """Why a face was neither assigned nor unassigned."""

    MISSING = "missing"
    OTHER_SUBJECT = "other_subject"
    DISSIMILAR = "dissimilar"


@dataclass(frozen=True, slots=True)
class RefusedFace:
    """A face that was not moved; `subject` is its owner if it is another's, `similarity` (cosine) if it is too low."""

    id: UUID
    reason: AssignmentRefusal
    subject: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class AssignmentResult:
    """The faces that were moved, those that were refused, and the number of faces the subject has now."""

    moved: list[UUID]
    refused: list[RefusedFace]
    faces: int


class AssignmentService:
    """Manage which stored faces belong to the named subjects of one tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        faces: CollectionFaceRepository,
        templates: TemplateRepository,
        storage: FaceStorage,
        idempotency_records: IdempotencyRecords,
        cursors: CursorSigner,
        *,
        may_delete: bool,
    ) -> None:
        self._may_delete = may_delete
        self._collections = collections
        self._subjects = subjects
        self._faces = faces
        self._templates = templates
        self._idempotency_records = idempotency_records
        self._consent = storage.consent
        self._pools = storage.pools
        self._cursors = cursors
        self._trail = storage.trail

    async def list_page(self, collection: str, request: PageRequest) -> Page[Subject]:
        """List one page of a collection's named subjects, ordered by row id; raises `CollectionNotFound`."""
        collection_id = await self._collections.find_id(collection)
        scope = f"{self._subjects.tenant_id}/collections/{collection_id}/known"
        after = self._cursors.open(scope, request.cursor, UUID) if request.cursor else None
        found = await self._subjects.list_named(collection_id, after, request.limit + 1)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last[0])))
        return Page([subject for _, subject in page.items], page.next_cursor)

    async def count(self, collection: str) -> int:
        """Count a collection's named subjects; raises `CollectionNotFound`."""
        return await self._subjects.count_named(await self._collections.find_id(collection))

    async def assign(
        self, collection: str, subject: str, ids: Sequence[UUID], *, min_similarity: float
    ) -> AssignmentResult:
        """Assign anonymous faces to a subject if their similarity (cosine) with it is at least `min_similarity`.

        Raises `SubjectNotFound`, `SubjectFull`, `ConsentRequired` or `ConsentWithdrawn`. Raises `PermissionDenied` if
        the subject expires before a face does and the caller may not delete.
        """
        collection_id, row = await self._lock_named(collection, subject)
        await self._consent.require(collection_id, subject)
        anonymous_ids = await self._faces.find_anonymous_subject_ids(collection_id, ids)
        anonymous = {owner.id: owner for owner in await self._subjects.lock(list(anonymous_ids))}
        stored = await self._faces.find_by_ids(collection_id, ids, set(anonymous), with_embeddings=True)
        assignable, refused = _split_by_gallery(ids, stored, row.id)
        before = await self._templates.count(row.id)
        accepted = list[GalleryFace]()
        for gallery_id, faces in assignable.items():
            similar, dissimilar = await self._compare(row.id, gallery_id, faces, min_similarity, has_faces=before > 0)
            accepted += similar
            refused += dissimilar
        total = before + len(accepted)
        if accepted:
            self._check_limits(row, anonymous, accepted, total)
            await self._faces.assign(accepted, {face.face.id: row.id for face in accepted})
            await self._subjects.delete_empty_anonymous([face.subject_id for face in accepted])
            await self._pools.forget([face.face.id for face in accepted])
            await self._subjects.touch(row.id)
            await self._record(AuditAction.FACES_ASSIGNED, collection, subject, accepted)
        return AssignmentResult([face.face.id for face in accepted], refused, total)

    async def unassign(self, collection: str, subject: str, ids: Sequence[UUID]) -> AssignmentResult:
        """Make faces of a subject anonymous; they stay stored. Raises `SubjectNotFound`."""
        collection_id, row = await self._lock_named(collection, subject)
        stored = await self._faces.find_by_ids(collection_id, ids, {row.id})
        assigned = [stored[id_] for id_ in ids if id_ in stored and stored[id_].subject_id == row.id]
        refused = [
            _refuse(id_, stored.get(id_)) for id_ in ids if id_ not in stored or stored[id_].subject_id != row.id
        ]
        if assigned:
            await self._make_anonymous(collection_id, row, assigned)
            await self._subjects.touch(row.id)
            await self._record(AuditAction.FACES_UNASSIGNED, collection, subject, assigned)
        return AssignmentResult([face.face.id for face in assigned], refused, await self._templates.count(row.id))

    async def remove_subject(self, collection: str, subject: str) -> None:
        """Make all faces of a subject anonymous and delete the subject.

        Raises `SubjectNotFound`, or `InvalidParameter` if the subject has too many faces for one request.
        """
        collection_id, row = await self._lock_named(collection, subject)
        filters = FaceFilter(subject_id=row.id)
        listed = await self._faces.list_page(collection_id, None, MAX_UNASSIGNED_AT_ONCE + 1, filters)
        if len(listed) > MAX_UNASSIGNED_AT_ONCE:
            raise InvalidParameter(
                f"subject: {subject!r} has more than {MAX_UNASSIGNED_AT_ONCE} faces, the maximum for one request; "
                f"unassign some of them first.",
                field="subject",
            )
        stored = await self._faces.find_by_ids(collection_id, [face.face.id for face in listed], {row.id})
        assigned = [face for face in stored.values() if face.subject_id == row.id]
        if assigned:
            await self._make_anonymous(collection_id, row, assigned)
        await self._subjects.delete_row(row.id)
        await self._idempotency_records.redact_about(collection, subject)
        await self._record(AuditAction.SUBJECT_UNNAMED, collection, subject, assigned)

    async def _compare(
        self,
        subject_id: UUID,
        gallery_id: UUID,
        faces: Sequence[GalleryFace],
        min_similarity: float,
        *,
        has_faces: bool,
    ) -> tuple[Sequence[GalleryFace], Sequence[RefusedFace]]:
        """Split faces of one gallery into similar ones and refused ones."""
        existing = await self._faces.list_by_subject(subject_id, gallery_id, MAX_COMMON_TEMPLATES)
        if has_faces and not existing:  # only another recognizer has embedded the subject, so nothing is comparable
            return [], [RefusedFace(face.face.id, AssignmentRefusal.DISSIMILAR) for face in faces]
        similarities = measure_consistency(_embeddings(existing), _embeddings(faces), min_similarity)
        rated = list(zip(faces, similarities, strict=True))
        return (
            [face for face, similarity in rated if similarity >= min_similarity],
            [
                RefusedFace(face.face.id, AssignmentRefusal.DISSIMILAR, similarity=similarity)
                for face, similarity in rated
                if similarity < min_similarity
            ],
        )

    def _check_limits(
        self, row: SubjectRecord, anonymous: Mapping[UUID, SubjectRecord], accepted: Sequence[GalleryFace], total: int
    ) -> None:
        if total > MAX_FACES:
            raise SubjectFull(
                f"Subject {row.subject!r} would have {total} faces; the maximum is {MAX_FACES}. Assign fewer faces."
            )
        if not self._may_delete:
            for face in accepted:
                refuse_shorter_expiry(anonymous[face.subject_id].expires_at, row.expires_at)

    async def _make_anonymous(self, collection_id: UUID, row: SubjectRecord, faces: Sequence[GalleryFace]) -> None:
        """Move each face to a new anonymous subject, which inherits the consent and expiry of the named one."""
        owners = {face.face.id: uuid4() for face in faces}
        names = {owner: anonymous_name(face_id) for face_id, owner in owners.items()}
        await self._subjects.add_anonymous(collection_id, names, like=row)
        await self._faces.assign(faces, owners)
        photo_ids = {face.face.id: face.face.image_id or face.face.id for face in faces}
        await self._pools.add(collection_id, photo_ids)

    async def _lock_named(self, collection: str, subject: str) -> tuple[UUID, SubjectRecord]:
        """Lock the collection and a named subject; raises `CollectionNotFound` or `SubjectNotFound`."""
        collection_id = await self._collections.find_id(collection, lock=True)
        row = await self._subjects.find_row(collection_id, subject, lock=True)
        if row is None or row.is_anonymous:
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        return collection_id, row

    async def _record(self, action: AuditAction, collection: str, subject: str, faces: Sequence[GalleryFace]) -> None:
        ids = {"face_ids": [str(face.face.id) for face in faces]}
        await self._trail.record_subject(action, collection, subject, ids=ids, faces=len(faces))


def _split_by_gallery(
    ids: Sequence[UUID], stored: Mapping[UUID, GalleryFace], subject_id: UUID
) -> tuple[dict[UUID, list[GalleryFace]], list[RefusedFace]]:
    """Return the anonymous faces by gallery, and the refused ones; faces of the subject itself are in neither."""
    assignable: dict[UUID, list[GalleryFace]] = {}
    refused = list[RefusedFace]()
    for face_id in ids:
        face = stored.get(face_id)
        if face is None or (face.face.subject is None and face.embedding is None):
            # A face without an embedding became anonymous after the anonymous subjects were locked.
            refused.append(RefusedFace(face_id, AssignmentRefusal.MISSING))
        elif face.face.subject is None:
            assignable.setdefault(face.gallery_id, []).append(face)
        elif face.subject_id != subject_id:
            refused.append(RefusedFace(face_id, AssignmentRefusal.OTHER_SUBJECT, subject=face.face.subject))
    return assignable, refused


def _embeddings(faces: Sequence[GalleryFace]) -> list[Embedding]:
    return [face.embedding for face in faces if face.embedding is not None]


def _refuse(face_id: UUID, stored: GalleryFace | None) -> RefusedFace:
    if stored is None or stored.face.subject is None:
        return RefusedFace(face_id, AssignmentRefusal.MISSING)
    return RefusedFace(face_id, AssignmentRefusal.OTHER_SUBJECT, subject=stored.face.subject)
