"""List and erase the stored faces of a collection, of named and anonymous subjects."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.people import CollectionFace, SubjectRecord
from app.errors import FaceNotFound, InvalidParameter, SubjectNotFound
from app.persistence.repositories.collection_faces import CollectionFaceRepository, FaceFilter, GalleryFace, NamedFace
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.subjects import SubjectRepository
from app.security.audit_chain import SealedEntry
from app.security.cursors import CursorSigner, read_numbered
from app.security.receipts import SignedReceipt
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.lookup import CollectionLookup
from app.services.erasure.receipts import ReceiptSigner
from app.services.paging import Page, PageRequest, bind_filters, cut_page

MAX_ERASED_SUBJECTS = 1_000
"""The number of subjects whose faces one request may erase."""


@dataclass(frozen=True, slots=True)
class FaceErasure:
    """The erased faces, the faces that stay because a named subject owns them (by id), and the missing ids."""

    erased: list[UUID]
    assigned: dict[UUID, str]
    missing: list[UUID]


@dataclass(frozen=True, slots=True)
class PhotoFilter:
    """A photo, by the caller's id, by the service's id, or by both; any photo if both are None."""

    external_image_id: str | None = None
    image_id: UUID | None = None

    def describe(self) -> str:
        """Say which photo it is, for an error."""
        parts = {"external_image_id": self.external_image_id, "image_id": self.image_id}
        return " and ".join(f"{name} {str(value)!r}" for name, value in parts.items() if value is not None)


ANY_PHOTO = PhotoFilter()


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
        receipts: ReceiptSigner,
    ) -> None:
        self._idempotency_records = idempotency_records
        self._collections = collections
        self._subjects = subjects
        self._faces = faces
        self._cursors = cursors
        self._trail = trail
        self._receipts = receipts

    async def list(
        self,
        collection: str,
        request: PageRequest,
        *,
        subject: str | None = None,
        ids: Sequence[UUID] | None = None,
        photo: PhotoFilter = ANY_PHOTO,
    ) -> Page[CollectionFace]:
        """List one page of a collection's faces, filtered by `subject`, `ids` and `photo`.

        Raises `CollectionNotFound` or `SubjectNotFound`.
        """
        collection_id = await self._collections.find_id(collection)
        subject_id = None
        if subject is not None:
            subject_id = (await self._find_named(collection_id, collection, subject)).id
        scope = bind_filters(
            f"{self._faces.tenant_id}/collections/{collection_id}/faces",
            external_image_id=photo.external_image_id,
            image_id=photo.image_id,
        )
        filters = FaceFilter(subject_id, ids, photo.external_image_id, photo.image_id)
        after = self._cursors.open(scope, request.cursor, read_numbered) if request.cursor else None
        found = await self._faces.list_page(collection_id, after, request.limit + 1, filters)
        page = cut_page(found, request.limit, lambda last: self._cursors.sign(scope, _write_position(last)))
        return Page([entry.face for entry in page.items], page.next_cursor)

    async def list_numbered(
        self, collection: str, *, page: int, size: int, subject: str | None = None
    ) -> tuple[Sequence[NamedFace], int]:
        """List page `page`, counted from 0, of the faces of named subjects, and count all of them.

        Pages stay complete only while nothing is erased. Raises `CollectionNotFound` or `SubjectNotFound`.
        """
        collection_id = await self._collections.find_id(collection)
        subject_id = None if subject is None else (await self._find_named(collection_id, collection, subject)).id
        return (
            await self._faces.list_named(collection_id, subject_id, offset=page * size, limit=size),
            await self._faces.count_named(collection_id, subject_id),
        )

    async def find_named(self, collection: str, ids: Sequence[UUID]) -> Sequence[NamedFace]:
        """Find those of these faces that belong to named subjects; raises `CollectionNotFound`."""
        collection_id = await self._collections.find_id(collection)
        return await self._faces.list_named(collection_id, None, ids=ids, offset=0, limit=len(ids))

    async def erase_named(self, collection: str, subject: str | None = None) -> int:
        """Erase all faces of a named subject, or of all named subjects, which stay; return the number of faces.

        Raises `CollectionNotFound`, `SubjectNotFound`, or `InvalidParameter` for more than 1,000 subjects.
        """
        collection_id = await self._collections.find_id(collection)
        filters = FaceFilter()
        if subject is not None:
            filters = FaceFilter(subject_id=(await self._find_named(collection_id, collection, subject)).id)
        found = await self._faces.find_owner_ids(collection_id, filters)
        owners = {owner.id: owner for owner in await self._subjects.lock(list(found)) if not owner.is_anonymous}
        if len(owners) > MAX_ERASED_SUBJECTS:
            raise InvalidParameter(
                f"subject: {len(owners)} subjects have faces; at most {MAX_ERASED_SUBJECTS} can lose them in one "
                f"request. Erase them by subject, or delete the collection."
            )
        erased = await self._faces.erase(collection_id, filters, list(owners)) if owners else {}
        if erased:
            await self._idempotency_records.redact_photos(collection)
            await self._record_named(collection, {owners[id_].subject: faces for id_, faces in erased.items()})
        return sum(len(faces) for faces in erased.values())

    async def _find_named(self, collection_id: UUID, collection: str, subject: str) -> SubjectRecord:
        row = await self._subjects.find_row(collection_id, subject)
        if row is None or row.is_anonymous:
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        return row

    async def _record_named(self, collection: str, erased: Mapping[str, Collection[UUID]]) -> None:
        """Record the erasure of faces of named subjects."""
        for subject, faces in erased.items():
            await self._idempotency_records.redact_about(collection, subject)
            ids = {"face_ids": [str(face_id) for face_id in faces]}
            await self._trail.record_subject(AuditAction.FACE_ERASED, collection, subject, ids=ids, faces=len(faces))

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
            await self._record_erasure(collection, erased)
        return FaceErasure(
            erased,
            {face_id: subject for face_id, subject in subjects.items() if subject is not None},
            [face_id for face_id in ids if face_id not in stored],
        )

    async def erase_photo(self, collection: str, photo: PhotoFilter) -> SignedReceipt:
        """Erase the faces of a photo, whoever they belong to, and return a signed receipt.

        Named subjects stay. The trail gets an entry for each of them, and one for all faces of the collection. Raises
        `CollectionNotFound`, or `FaceNotFound` if no face is stored from the photo.
        """
        collection_id = await self._collections.find_id(collection)
        filters = FaceFilter(external_image_id=photo.external_image_id, image_id=photo.image_id)
        owners: dict[UUID, SubjectRecord] = {}
        # Again if another request has assigned a face meanwhile: it has another owner then.
        while not (found := await self._faces.find_owner_ids(collection_id, filters)) <= owners.keys():
            owners = {owner.id: owner for owner in await self._subjects.lock(list(found))}
        erased = await self._faces.erase(collection_id, filters, found)
        if not erased:
            raise FaceNotFound(f"Collection {collection!r} has no face from {photo.describe()}.")
        named = {owners[id_].subject: faces for id_, faces in erased.items() if not owners[id_].is_anonymous}
        await self._subjects.delete_empty_anonymous(list(erased))
        await self._idempotency_records.redact_photos(collection)
        await self._record_named(collection, named)
        every = [face_id for faces in erased.values() for face_id in faces]
        return self._receipts.sign(await self._record_erasure(collection, every))

    async def _record_erasure(self, collection: str, erased: Sequence[UUID]) -> SealedEntry:
        ids = {"face_ids": [str(face_id) for face_id in erased]}
        target = f"collection:{collection}"
        return await self._trail.record(
            AuditAction.FACE_ERASED, target, ids=ids, collection=collection, faces=len(erased)
        )


def _write_position(entry: GalleryFace) -> str:
    return f"{entry.gallery_id.hex}:{entry.seq}"
