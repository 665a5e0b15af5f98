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
from app.persistence.repositories.audit import ChainHead
from app.persistence.repositories.registrations import BegunRegistration, RegistrationRepository, SubjectValues
from app.persistence.repositories.repeated_faces import StoredPhotoFace
from app.persistence.repositories.templates import NewFace
from app.security.audit_chain import Detail
from app.services.audit.actions import AuditAction
from app.services.collections.collections import require_found
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.collections.lookup import CollectionLookup
from app.services.people.consent import refuse_missing_consent
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
        rows: RegistrationRepository,
        repeated: RepeatedPhotos,
        storage: FaceStorage,
        *,
        may_delete: bool,
    ) -> None:
        self._faces = faces
        self._galleries = galleries
        self._collections = collections
        self._rows = rows
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
        min_score: float = 0.0,
    ) -> Registration:
        """Store one face per image for `subject`, creating the subject if necessary; a repeated photo is stored once.

        Unusable and already refused images are reported; `field` is theirs in the request. Faces with a detection score
        below `min_score` do not count. If no image is usable,
        nothing is written; a single image's own error is raised, or `NoImageAccepted` for several. Also raises
        `InvalidParameter`, `CollectionNotFound`, `PermissionDenied` for an earlier expiry, `QuotaExceeded`,
        `Overloaded`, `ConsentRequired` or `ConsentWithdrawn` if consent is missing and none is given,
        `RecognizerUnavailable` and `RecognizerChanged`.
        """
        refuse_past_expiry(expires_at)
        refuse_reserved_id(subject)
        values = SubjectValues(subject, name, metadata, expires_at, consent)
        computed_by = await self._galleries.recognizers(collection)
        usable, refused = await self._read(images, choice, computed_by, min_score)
        if not usable:
            raise refused[0].error if len(refused) == 1 else _none_accepted(refused, field)
        begun = await self._begin(collection, values, [found for _, _, found in usable], computed_by)
        in_use, secondary = begun.recognizer, begun.secondary
        recognizers = self._collections.recognizers_for_storing(collection, in_use, secondary, computed_by)
        if begun.was_there and not self._may_delete:
            refuse_shorter_expiry(begun.former_expiry, expires_at)
        refuse_missing_consent(subject, begun.consent)
        photos = [self._repeated.describe(begun.subject_id, image, found) for _, image, found in usable]
        stored, head = await self._store(begun, photos, recognizers, external_image_id)
        new = dict.fromkeys(face.id for face in stored if not face.was_stored)
        ids = {"face_ids": [str(face_id) for face_id in new]}
        counts: dict[str, Detail] = {"faces": len(new), "with_consent": consent is not None}
        await self._trail.record_subject(
            AuditAction.FACES_REGISTERED, collection, subject, ids=ids, head=head, is_new=begun.is_new, **counts
        )
        accepted = [
            AcceptedImage(index, found.face, face.id, face.origin, face.was_stored)
            for (index, _, found), face in zip(usable, stored, strict=True)
        ]
        return Registration(recognizers.in_use, accepted, refused)

    async def _begin(
        self, collection: str, values: SubjectValues, found: Sequence[FoundFace], computed_by: Recognizers
    ) -> BegunRegistration:
        """Lock the collection and the subject, which is created or updated; raises `CollectionNotFound`."""
        begun = None
        if self._collections.may_access(collection):
            begun = await self._rows.begin(
                collection,
                values,
                recognizers=computed_by,
                default_recognizer=self._collections.default_recognizer,
                actor=self._trail.actor,
                detection_scores=[one.face.detection_score for one in found],
                reads_expiry=values.expires_at is not None and not self._may_delete,
            )
        return require_found(begun, collection)

    async def _store(
        self,
        begun: BegunRegistration,
        photos: Sequence[SentPhoto],
        recognizers: Recognizers,
        external_image_id: str | None,
    ) -> tuple[list[_StoredFace], ChainHead | None]:
        """Store the faces that the subject does not have yet; return each photo's, and the locked audit chain's head.

        The head is None if no face is new. Raises `QuotaExceeded`.
        """
        known = await self._repeated.find(begun.subject_id, photos, begun.faces)
        new, missing = dict[bytes, NewFace](), dict[UUID, dict[str, Embedding]]()
        for photo, stored in zip(photos, known, strict=True):
            embeddings = {name: photo.face.embeddings[name] for name in recognizers.all}
            if stored is None:
                origin = FaceOrigin(uuid4(), photo.face.box, external_image_id, photo.digests[0])
                face = NewFace.of(begun.subject_id, photo.face.face, embeddings, origin)
                new.setdefault(photo.digests[0], face)
            else:
                missing[stored.id] = embeddings
        if missing:
            known = await self._complete(begun, known, photos, missing, external_image_id)
        head = await self._add(begun, list(new.values()))
        return [
            _of_new(new[photo.digests[0]]) if stored is None else _StoredFace(stored.id, stored.origin, was_stored=True)
            for photo, stored in zip(photos, known, strict=True)
        ], head

    async def _complete(
        self,
        begun: BegunRegistration,
        known: Sequence[StoredPhotoFace | None],
        photos: Sequence[SentPhoto],
        missing: dict[UUID, dict[str, Embedding]],
        external_image_id: str | None,
    ) -> list[StoredPhotoFace | None]:
        """Add to stored faces what was unknown when they were stored: quality, the photo's id, templates."""
        templates, recognizers = self._storage.templates, {name for names in missing.values() for name in names}
        # Before any gallery is written, and in their order: the new faces may go into other galleries.
        await templates.lock_galleries(begun.collection_id, recognizers)
        await self._repeated.rate(known, photos)
        named = await self._repeated.name(known, external_image_id)
        subjects = [begun.subject_id]
        await templates.add_missing(missing, collection_id=begun.collection_id, subject_ids=subjects, source="register")
        return named

    async def _add(self, begun: BegunRegistration, new: list[NewFace]) -> ChainHead | None:
        quotas = self._storage.quotas
        if not new:
            await quotas.check(Quota.TEMPLATES)
            return None
        last = await self._storage.templates.add_last(
            new,
            collection_id=begun.collection_id,
            source="register",
            quota=quotas.limit(Quota.TEMPLATES),
            protections=begun.protections,
        )
        quotas.check_used(Quota.TEMPLATES, last.used)
        return last.head

    async def _read(
        self, images: Sequence[bytes | ImageRefused], choice: FaceChoice, recognizers: Recognizers, min_score: float
    ) -> tuple[list[tuple[int, bytes, FoundFace]], list[RefusedImage]]:
        usable, refused = [], []
        # One image after the other, so that a request with many images takes one place in the queue, not all.
        for index, image in enumerate(images):
            if isinstance(image, ImageRefused):
                refused.append(RefusedImage(index, image))
                continue
            try:
                found = await self._faces.read_for_registration(image, choice, recognizers, min_score=min_score)
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
