"""Register a subject: store the faces of images as its templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.domain.collections import Recognizers
from app.domain.faces import Embedding, Face
from app.domain.people import UNKNOWN_ORIGIN, FaceOrigin
from app.errors import AppError, FaceRefused, ImageRefused, NoImageAccepted
from app.permissions import Quota
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace
from app.services.audit.trail import AuditAction
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.people.repeated_photos import RepeatedPhotos, SentPhoto
from app.services.people.rules import refuse_past_expiry, refuse_reserved_id, refuse_shorter_expiry
from app.services.photos.face_reader import FaceChoice, FaceReader, FoundFace


@dataclass(frozen=True, slots=True)
class AcceptedImage:
    """One image whose face was stored; `index` counts the request's images from 0."""

    index: int
    face: Face
    face_id: UUID
    origin: FaceOrigin
    was_stored: bool = False
    """Whether the subject had this photo's face before; it is not stored again."""


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """One image that was not used, and its error."""

    index: int
    error: AppError


@dataclass(frozen=True, slots=True)
class Registration:
    """The accepted and refused images; `recognizer` is the one in use, which made the listed templates."""

    recognizer: str
    accepted: list[AcceptedImage]
    refused: list[RefusedImage]


@dataclass(frozen=True, slots=True)
class _StoredFace:
    """A photo's face as it is stored; see `AcceptedImage`."""

    id: UUID
    origin: FaceOrigin
    was_stored: bool


class RegistrationService:
    """Store faces of a subject that the caller names."""

    def __init__(
        self,
        faces: FaceReader,
        galleries: GalleryLookup,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        repeated: RepeatedPhotos,
        storage: FaceStorage,
        *,
        may_delete: bool,
    ) -> None:
        self._faces = faces
        self._galleries = galleries
        self._collections = collections
        self._subjects = subjects
        self._repeated = repeated
        self._storage = storage
        self._trail = storage.trail
        self._may_delete = may_delete

    async def register(
        self,
        images: Sequence[bytes | ImageRefused],
        *,
        field: str = "images",
        collection: str,
        subject: str,
        name: str | None,
        metadata: dict[str, Any] | None,
        choice: FaceChoice,
        consent: str | None = None,
        expires_at: datetime | None = None,
        external_image_id: str | None = None,
    ) -> Registration:
        """Store one face per image for `subject`, creating the subject if necessary; a repeated photo is stored once.

        Unusable and already refused images are reported; `field` is theirs in the request. If no image is usable,
        nothing is written; a single image's own error is raised, or `NoImageAccepted` for several. Also raises
        `InvalidParameter`, `CollectionNotFound`, `PermissionDenied` for an earlier expiry, `QuotaExceeded`,
        `Overloaded`, `ConsentRequired` or `ConsentWithdrawn` if consent is missing and none is given,
        `RecognizerUnavailable` and `RecognizerChanged`.
        """
        refuse_past_expiry(expires_at)
        refuse_reserved_id(subject)
        computed_by = await self._galleries.recognizers(collection)
        usable, refused = await self._read(images, choice, computed_by)
        if not usable:
            raise refused[0].error if len(refused) == 1 else _none_accepted(refused, field)
        collection_id, recognizers = await self._collections.lock_for_storing(collection, computed_by)
        await self._check_expiry_change(collection_id, subject, expires_at)
        subject_id = await self._subjects.upsert(collection_id, subject, name, metadata, expires_at)
        if consent is not None:
            await self._subjects.record_consent(subject_id, consent, self._trail.actor)
        await self._storage.consent.require(collection_id, subject)
        photos = [self._repeated.describe(subject_id, image, found) for _, image, found in usable]
        stored = await self._store(collection_id, subject_id, photos, recognizers, external_image_id)
        new = len({face.id for face in stored if not face.was_stored})
        await self._record(collection, subject, faces=new, with_consent=consent is not None)
        accepted = [
            AcceptedImage(index, found.face, face.id, face.origin, face.was_stored)
            for (index, _, found), face in zip(usable, stored, strict=True)
        ]
        return Registration(recognizers.in_use, accepted, refused)

    async def _check_expiry_change(self, collection_id: UUID, subject: str, expires_at: datetime | None) -> None:
        if expires_at is None or self._may_delete:
            return
        row = await self._subjects.find_row(collection_id, subject, lock=True)
        if row is not None:
            refuse_shorter_expiry(row.expires_at, expires_at)

    async def _store(
        self,
        collection_id: UUID,
        subject_id: UUID,
        photos: Sequence[SentPhoto],
        recognizers: Recognizers,
        external_image_id: str | None,
    ) -> list[_StoredFace]:
        """Store the faces that the subject does not have yet; return each photo's, and whether it was there before."""
        known = await self._repeated.find(subject_id, photos)
        new, missing = dict[bytes, NewFace](), dict[UUID, dict[str, Embedding]]()
        for photo, stored in zip(photos, known, strict=True):
            embeddings = {name: photo.face.embeddings[name] for name in recognizers.all}
            if stored is None:
                origin = FaceOrigin(uuid4(), photo.face.box, external_image_id, photo.digests[0])
                new.setdefault(photo.digests[0], NewFace.of(subject_id, photo.face.face, embeddings, origin))
            else:
                missing[stored.id] = embeddings
        templates = self._storage.templates
        if missing:
            # Before any gallery is written, and in their order: the new faces may go into other galleries.
            await templates.lock_galleries(collection_id, recognizers.all)
            await self._repeated.rate(known, photos)
            known = await self._repeated.name(known, external_image_id)
            subjects = [subject_id]
            await templates.add_missing(missing, collection_id=collection_id, subject_ids=subjects, source="register")
        await templates.add_all(list(new.values()), collection_id=collection_id, source="register")
        await self._storage.quotas.check(Quota.TEMPLATES)
        return [
            _of_new(new[photo.digests[0]]) if stored is None else _StoredFace(stored.id, stored.origin, was_stored=True)
            for photo, stored in zip(photos, known, strict=True)
        ]

    async def _record(self, collection: str, subject: str, *, faces: int, with_consent: bool) -> None:
        await self._trail.record(
            AuditAction.FACES_REGISTERED,
            self._trail.subject_target(collection, subject),
            collection=collection,
            faces=faces,
            with_consent=with_consent,
        )

    async def _read(
        self, images: Sequence[bytes | ImageRefused], choice: FaceChoice, recognizers: Recognizers
    ) -> tuple[list[tuple[int, bytes, FoundFace]], list[RefusedImage]]:
        usable, refused = [], []
        # One image after the other, so that a request with many images takes one place in the queue, not all.
        for index, image in enumerate(images):
            if isinstance(image, ImageRefused):
                refused.append(RefusedImage(index, image))
                continue
            try:
                found = await self._faces.read_for_registration(image, choice, recognizers)
            except (ImageRefused, FaceRefused) as exc:
                refused.append(RefusedImage(index, exc))
            else:
                usable.append((index, image, found))
        return usable, refused


def _of_new(face: NewFace) -> _StoredFace:
    return _StoredFace(face.id, face.origin or UNKNOWN_ORIGIN, was_stored=False)


def _none_accepted(refused: Sequence[RefusedImage], field: str) -> NoImageAccepted:
    errors = [
        {"field": field, "index": item.index, "code": item.error.code, "detail": item.error.detail} for item in refused
    ]
    return NoImageAccepted(errors=errors)
