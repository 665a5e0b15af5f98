"""List and erase the stored faces of a collection, of named and anonymous subjects."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.people import CollectionFace
from app.errors import SubjectNotFound
from app.persistence.repositories.collection_faces import CollectionFaceRepository, GalleryFace
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.security.cursors import CursorSigner, read_numbered
from app.services.audit.trail import AuditAction, AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.paging import Page, PageRequest, cut_page


@dataclass(frozen=True, slots=True)
class FaceErasure:
    """The erased faces, the faces that stay because a named subject owns them (by id), and the missing ids."""

    erased: list[UUID]
    assigned: dict[UUID, str]
    missing: list[UUID]


class StoredFaceService:
    """List and erase the faces of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        faces: CollectionFaceRepository,
        idempotency_records: IdempotencyRecords,
        cursors: CursorSigner,
        trail: AuditTrail,
    ) -> None:
        self._idempotency_records = idempotency_records
        self._collections = collections
        self._subjects = subjects
        self._faces = faces
        self._cursors = cursors
        self._trail = trail

    async def list(
        self, collection: str, request: PageRequest, *, subject: str | None = None, ids: Sequence[UUID] | None = None
    ) -> Page[CollectionFace]:
        """List one page of a collection's faces, filtered by `subject` and `ids`.

        Raises `CollectionNotFound` or `SubjectNotFound`.
        """
        collection_id = await self._collections.find_id(collection)
        subject_id = None
        if subject is not None:
            row = await self._subjects.find_row(collection_id, subject)
            if row is None or row.is_anonymous:
                raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
            subject_id = row.id
        scope = f"{self._faces.tenant_id}/collections/{collection_id}/faces"
        after = self._cursors.open(scope, request.cursor, read_numbered) if request.cursor else None
        found = await self._faces.list_page(collection_id, after, request.limit + 1, subject_id=subject_id, ids=ids)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, _write_position(last)))
        return Page([entry.face for entry in page.items], page.next_cursor)

    async def erase(self, collection: str, ids: Sequence[UUID]) -> FaceErasure:
        """Erase faces of anonymous subjects; faces of named subjects stay. Raises `CollectionNotFound`."""
        collection_id = await self._collections.find_id(collection)
        owners = await self._subjects.lock(list(await self._faces.find_anonymous_subject_ids(collection_id, ids)))
        stored = await self._faces.find_by_ids(collection_id, ids, {owner.id for owner in owners})
        subjects = {face_id: stored[face_id].face.subject for face_id in ids if face_id in stored}
        erased = [face_id for face_id, subject in subjects.items() if subject is None]
        if erased:
            await self._faces.delete(erased)
            await self._subjects.delete_empty_anonymous([stored[face_id].subject_id for face_id in erased])
            await self._idempotency_records.redact_photos(collection)
            await self._trail.record(
                AuditAction.FACE_ERASED, f"collection:{collection}", collection=collection, faces=len(erased)
            )
        return FaceErasure(
            erased,
            {face_id: subject for face_id, subject in subjects.items() if subject is not None},
            [face_id for face_id in ids if face_id not in stored],
        )


def _write_position(entry: GalleryFace) -> str:
    return f"{entry.gallery_id.hex}:{entry.seq}"
