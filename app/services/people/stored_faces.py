"""The stored faces of a collection, whosever they are: listed and erased."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.people import CollectionFace
from app.errors import InvalidCursor, SubjectNotFound
from app.persistence.repositories.collection_faces import CollectionFaceRepository, GalleryFace, Place
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.security.cursors import CursorSigner
from app.services.audit.trail import AuditAction, AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.paging import Page, PageRequest, cut_page


@dataclass(frozen=True, slots=True)
class FaceErasure:
    """Which faces were erased, which are somebody's and stay, and which are not there."""

    erased: list[UUID]
    of_subjects: dict[UUID, str]
    missing: list[UUID]


class StoredFaceService:
    """The faces of one tenant's collections."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        faces: CollectionFaceRepository,
        answers: IdempotencyRecords,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._idempotency_records = answers
        self._collections = collections
        self._subjects = subjects
        self._faces = faces
        self._cursors = cursors
        self._trail = trail

    async def list(
        self, collection: str, request: PageRequest, *, subject: str | None = None, ids: Sequence[UUID] | None = None
    ) -> Page[CollectionFace]:
        """One page of a collection's faces; of one subject, or of these ids. Raises `SubjectNotFound`."""
        collection_id = await self._collections.find_id(collection)
        subject_id = None
        if subject is not None:
            row = await self._subjects.find_row(collection_id, subject)
            if row is None or row.is_anonymous:
                raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
            subject_id = row.id
        scope = f"{self._faces.tenant_id}/collections/{collection_id}/faces"
        after = _read_place(self._cursors.open(scope, request.cursor)) if request.cursor else None
        found = await self._faces.list_page(collection_id, after, request.limit + 1, subject_id=subject_id, ids=ids)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, _write_place(last)))
        return Page([held.face for held in page.items], page.next_cursor)

    async def erase(self, collection: str, ids: Sequence[UUID]) -> FaceErasure:
        """Erase faces of nobody known; those of known subjects stay."""
        collection_id = await self._collections.find_id(collection)
        owners = await self._subjects.lock(list(await self._faces.find_anonymous_owners(collection_id, ids)))
        held = await self._faces.find_all(collection_id, ids, {owner.id for owner in owners})
        theirs = {one: held[one].face.subject for one in ids if one in held}
        erased = [one for one, subject in theirs.items() if subject is None]
        if erased:
            await self._faces.delete(erased)
            await self._subjects.drop_empty_anonymous([held[one].subject_id for one in erased])
            await self._idempotency_records.forget_photos(collection)
            await self._trail.record(
                AuditAction.FACE_ERASED, f"collection:{collection}", collection=collection, faces=len(erased)
            )
        return FaceErasure(
            erased,
            {one: subject for one, subject in theirs.items() if subject is not None},
            [one for one in ids if one not in held],
        )


def _write_place(held: GalleryFace) -> str:
    return f"{held.gallery_id.hex}:{held.place}"


def _read_place(position: str) -> Place:
    gallery, separator, place = position.partition(":")
    if not separator:
        raise InvalidCursor
    return UUID(hex=gallery), int(place)
