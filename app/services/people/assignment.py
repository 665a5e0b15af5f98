"""Giving stored faces to the people they show, and taking them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID, uuid4

from app.domain.faces import Embedding
from app.domain.people import Subject, SubjectRecord
from app.errors import InvalidParameter, SubjectFull, SubjectNotFound
from app.matcher.subject_similarity import MAX_COMMON_TEMPLATES, take_consistent
from app.persistence.repositories.collection_faces import CollectionFaceRepository, GalleryFace
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.security.cursors import CursorSigner
from app.services.audit.trail import AuditAction
from app.services.collections.lookup import CollectionLookup
from app.services.paging import Page, PageRequest, cut_page
from app.services.people.anonymous_registration import anonymous_name
from app.services.people.face_storage import FaceStorage
from app.services.people.registration import refuse_to_shorten

MAX_FACES = 100
"""Faces that may be given to one subject."""
MAX_UNASSIGNED_AT_ONCE = 1_000
"""Faces that are taken from a subject at once."""


class AssignmentRefusal(Enum):
    """Why a face did not change hands."""

    MISSING = "missing"
    ANOTHERS = "anothers"
    UNLIKE = "unlike"


@dataclass(frozen=True, slots=True)
class Refused:
    """A face that did not change hands; `subject` where it is another's, `similarity` (cosine) where it is unlike."""

    id: UUID
    why: AssignmentRefusal
    subject: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class AssignmentResult:
    """Which faces changed hands, which did not, and how many the subject has now."""

    moved: list[UUID]
    refused: list[Refused]
    faces: int


class AssignmentService:
    """The subjects of one tenant that somebody named, and which stored faces are theirs."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        faces: CollectionFaceRepository,
        templates: TemplateRepository,
        storage: FaceStorage,
        answers: IdempotencyRecords,
        cursors: CursorSigner,
        *,
        may_delete: bool,
    ) -> None:
        self._may_delete = may_delete
        self._collections = collections
        self._subjects = subjects
        self._faces = faces
        self._templates = templates
        self._idempotency_records = answers
        self._consent = storage.consent
        self._cursors = cursors
        self._trail = storage.trail

    async def list_page(self, collection: str, request: PageRequest) -> Page[Subject]:
        """One page of a collection's known subjects, in the order of their rows' ids."""
        collection_id = await self._collections.find_id(collection)
        scope = f"{self._subjects.tenant_id}/collections/{collection_id}/known"
        after = UUID(self._cursors.open(scope, request.cursor)) if request.cursor else None
        found = await self._subjects.list_named(collection_id, after, request.limit + 1)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last[0])))
        return Page([subject for _, subject in page.items], page.next_cursor)

    async def count(self, collection: str) -> int:
        """How many known subjects a collection has."""
        return await self._subjects.count_named(await self._collections.find_id(collection))

    async def give(
        self, collection: str, subject: str, ids: Sequence[UUID], *, min_similarity: float
    ) -> AssignmentResult:
        """Give faces of nobody known to a subject, those similar to its others by `min_similarity` (cosine) or more.

        Raises `SubjectNotFound`, `SubjectFull`, `ConsentRequired` or `ConsentWithdrawn` of the subject, and
        `PermissionDenied` where a face would be erased earlier than now and the caller may not erase.
        """
        collection_id, row = await self._held(collection, subject)
        await self._consent.require(collection_id, subject)
        owners = await self._subjects.lock(list(await self._faces.find_anonymous_owners(collection_id, ids)))
        held = await self._faces.find_all(collection_id, ids, {owner.id for owner in owners}, with_embeddings=True)
        refused = list[Refused]()
        waiting: dict[UUID, list[GalleryFace]] = {}
        for one in ids:
            face = held.get(one)
            if face is None or (face.face.subject is None and face.embedding is None):
                # Also one that was somebody's when the faces of nobody known were locked, and is so no longer.
                refused.append(Refused(one, AssignmentRefusal.MISSING))
            elif face.face.subject is None:
                waiting.setdefault(face.gallery_id, []).append(face)
            elif face.subject_id != row.id:
                refused.append(Refused(one, AssignmentRefusal.ANOTHERS, subject=face.face.subject))
        fitting: list[GalleryFace] = []
        own = await self._templates.count(row.id)
        for gallery_id, some in waiting.items():
            fit, unlike = await self._compare(row.id, gallery_id, some, min_similarity, has_faces=own > 0)
            fitting += fit
            refused += unlike
        faces = own + len(fitting)
        if fitting and faces > MAX_FACES:
            raise SubjectFull(f"Subject {subject!r} would have {faces} faces; at most {MAX_FACES} can be given to one.")
        if fitting and not self._may_delete:
            until = {owner.id: owner.expires_at for owner in owners}
            for face in fitting:
                refuse_to_shorten(until[face.subject_id], row.expires_at)
        if fitting:
            await self._faces.give(fitting, {one.face.id: row.id for one in fitting})
            await self._subjects.drop_empty_anonymous([one.subject_id for one in fitting])
            await self._subjects.touch(row.id)
            await self._record(AuditAction.FACES_ASSIGNED, collection, subject, len(fitting))
        return AssignmentResult([one.face.id for one in fitting], refused, faces)

    async def take(self, collection: str, subject: str, ids: Sequence[UUID]) -> AssignmentResult:
        """Take faces from a subject: they stay stored, as nobody's known. Raises `SubjectNotFound`."""
        collection_id, row = await self._held(collection, subject)
        held = await self._faces.find_all(collection_id, ids, {row.id})
        own = [held[one] for one in ids if one in held and held[one].subject_id == row.id]
        refused = [_not_taken(one, held.get(one)) for one in ids if one not in held or held[one].subject_id != row.id]
        if own:
            await self._make_anonymous(collection_id, row, own)
            await self._subjects.touch(row.id)
            await self._record(AuditAction.FACES_UNASSIGNED, collection, subject, len(own))
        return AssignmentResult([one.face.id for one in own], refused, await self._templates.count(row.id))

    async def unname(self, collection: str, subject: str) -> None:
        """Take all faces from a subject, and the subject away; raises `SubjectNotFound`."""
        collection_id, row = await self._held(collection, subject)
        listed = await self._faces.list_page(collection_id, None, MAX_UNASSIGNED_AT_ONCE + 1, subject_id=row.id)
        if len(listed) > MAX_UNASSIGNED_AT_ONCE:
            raise InvalidParameter(
                f"UserId: {subject!r} has more than {MAX_UNASSIGNED_AT_ONCE} faces, the most that are taken at once; "
                f"disassociate some before.",
                field="UserId",
            )
        held = await self._faces.find_all(collection_id, [one.face.id for one in listed], {row.id})
        own = [one for one in held.values() if one.subject_id == row.id]
        if own:
            await self._make_anonymous(collection_id, row, own)
        await self._subjects.drop(row.id)
        await self._idempotency_records.forget_about(collection, subject)
        await self._record(AuditAction.SUBJECT_UNNAMED, collection, subject, len(own))

    async def _compare(
        self, subject_id: UUID, gallery_id: UUID, some: Sequence[GalleryFace], min_similarity: float, *, has_faces: bool
    ) -> tuple[Sequence[GalleryFace], Sequence[Refused]]:
        existing = await self._faces.find_of_subject(subject_id, gallery_id, MAX_COMMON_TEMPLATES)
        if has_faces and not existing:  # theirs are another recognizer's: nothing says that these are, too
            return [], [Refused(one.face.id, AssignmentRefusal.UNLIKE) for one in some]
        similarities = take_consistent(_embeddings(existing), _embeddings(some), min_similarity)
        rated = list(zip(some, similarities, strict=True))
        return (
            [one for one, similarity in rated if similarity >= min_similarity],
            [
                Refused(one.face.id, AssignmentRefusal.UNLIKE, similarity=similarity)
                for one, similarity in rated
                if similarity < min_similarity
            ],
        )

    async def _make_anonymous(self, collection_id: UUID, row: SubjectRecord, own: Sequence[GalleryFace]) -> None:
        """What the person agreed to goes with their faces."""
        owners = {one.face.id: uuid4() for one in own}
        names = {owner: anonymous_name(face_id) for face_id, owner in owners.items()}
        await self._subjects.add_anonymous(collection_id, names, like=row)
        await self._faces.give(own, owners)

    async def _held(self, collection: str, subject: str) -> tuple[UUID, SubjectRecord]:
        collection_id = await self._collections.find_id(collection, lock=True)
        row = await self._subjects.find_row(collection_id, subject, lock=True)
        if row is None or row.is_anonymous:
            raise _not_found(collection, subject)
        return collection_id, row

    async def _record(self, action: AuditAction, collection: str, subject: str, faces: int) -> None:
        target = self._trail.name_subject(collection, subject)
        await self._trail.record(action, target, collection=collection, faces=faces)


def _embeddings(held: Sequence[GalleryFace]) -> list[Embedding]:
    return [one.embedding for one in held if one.embedding is not None]


def _not_taken(face_id: UUID, held: GalleryFace | None) -> Refused:
    if held is None or held.face.subject is None:
        return Refused(face_id, AssignmentRefusal.MISSING)
    return Refused(face_id, AssignmentRefusal.ANOTHERS, subject=held.face.subject)


def _not_found(collection: str, subject: str) -> SubjectNotFound:
    return SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
