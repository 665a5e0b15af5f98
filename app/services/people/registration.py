"""Registering a person: images in, stored templates out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from app.domain.collections import Recognizers
from app.domain.faces import Face
from app.domain.people import FaceOrigin, Template
from app.errors import AppError, FaceRefused, ImageRefused, InvalidParameter, NoImageAccepted, PermissionDenied
from app.permissions import Quota
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace
from app.services.audit.trail import AuditAction
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.collections.lookup import CollectionLookup
from app.services.people.face_storage import FaceStorage
from app.services.photos.face_reader import FaceChoice, FaceReader, FoundFace


@dataclass(frozen=True, slots=True)
class AcceptedImage:
    """One image whose face was stored; `index` counts the request's images from 0."""

    index: int
    face: Face
    template: Template


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """One image that was not used, and why."""

    index: int
    error: AppError


@dataclass(frozen=True, slots=True)
class Registration:
    """What came of one call; `recognizer` is the one in use, of the templates that are named."""

    recognizer: str
    accepted: list[AcceptedImage]
    refused: list[RefusedImage]


class RegistrationService:
    """Stores faces under a caller's id."""

    def __init__(
        self,
        faces: FaceReader,
        galleries: GalleryLookup,
        collections: CollectionLookup,
        subjects: SubjectRepository,
        storage: FaceStorage,
        *,
        may_delete: bool,
    ) -> None:
        self._faces = faces
        self._galleries = galleries
        self._collections = collections
        self._subjects = subjects
        self._storage = storage
        self._trail = storage.trail
        self._may_delete = may_delete

    async def register(
        self,
        images: Sequence[bytes],
        *,
        collection: str,
        subject: str,
        name: str | None,
        metadata: dict[str, Any] | None,
        choice: FaceChoice,
        consent: str | None = None,
        expires_at: datetime | None = None,
    ) -> Registration:
        """Store one face an image for `subject`, creating it if need be.

        Images that cannot be used are reported; if none can, nothing is written and the error is the image's own
        (one image) or `NoImageAccepted` (several). Raises `CollectionNotFound`, `QuotaExceeded`, `Overloaded` too, and
        `ConsentRequired` or `ConsentWithdrawn` where there is no consent and none is given; `RecognizerUnavailable` or
        `RecognizerChanged`.
        """
        check_expiry(expires_at)
        refuse_reserved(subject)
        made_by = await self._galleries.recognizers(collection)
        usable, refused = await self._read(images, choice, made_by)
        if not usable:
            raise refused[0].error if len(refused) == 1 else _none_accepted(refused)
        collection_id, wanted = await self._collections.lock_for_storing(collection, made_by)
        if expires_at is not None and not self._may_delete:
            known = await self._subjects.find_row(collection_id, subject, lock=True)
            if known is not None:
                refuse_to_shorten(known.expires_at, expires_at)
        subject_id = await self._subjects.ensure(collection_id, subject, name, metadata, expires_at)
        if consent is not None:
            await self._subjects.record_consent(subject_id, consent, self._trail.actor)
        await self._storage.consent.require(collection_id, subject)
        new = [
            NewFace.of(
                subject_id,
                found.face,
                {name: found.embeddings[name] for name in wanted.all},
                FaceOrigin(uuid4(), found.box),
            )
            for _, found in usable
        ]
        templates = await self._storage.templates.add_all(new, collection_id=collection_id, source="register")
        await self._storage.quotas.check(Quota.TEMPLATES)
        await self._trail.record(
            AuditAction.FACES_REGISTERED,
            self._trail.name_subject(collection, subject),
            collection=collection,
            faces=len(templates),
            with_consent=consent is not None,
        )
        accepted = [
            AcceptedImage(index, found.face, template)
            for (index, found), template in zip(usable, templates, strict=True)
        ]
        return Registration(wanted.in_use, accepted, refused)

    async def _read(
        self, images: Sequence[bytes], choice: FaceChoice, recognizers: Recognizers
    ) -> tuple[list[tuple[int, FoundFace]], list[RefusedImage]]:
        usable, refused = [], []
        # One after the other: a call with many images takes one place in the queue, not all of them.
        for index, image in enumerate(images):
            try:
                found = await self._faces.read_for_registration(image, choice, recognizers)
            except (ImageRefused, FaceRefused) as exc:
                refused.append(RefusedImage(index, exc))
            else:
                usable.append((index, found))
        return usable, refused


def _none_accepted(refused: Sequence[RefusedImage]) -> NoImageAccepted:
    errors = [{"image": item.index, "code": item.error.code, "detail": item.error.detail} for item in refused]
    return NoImageAccepted(errors=errors)


RESERVED = "face@"
"""How the ids of anonymous subjects begin."""


def refuse_reserved(subject: str) -> None:
    """Raises `InvalidParameter` for an id that only an anonymous subject has."""
    if subject.startswith(RESERVED):
        raise InvalidParameter(f"subject: {RESERVED} begins the ids of faces that nobody named.", field="subject")


def check_expiry(expires_at: datetime | None) -> None:
    """Raises `InvalidParameter` for a time that is over: whoever sends it means another."""
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidParameter(f"expires_at: {expires_at.isoformat()} is over already.", field="expires_at")


def refuse_to_shorten(now: datetime | None, wanted: datetime | None) -> None:
    """An earlier end erases, later: for whoever may not erase it is `PermissionDenied`."""
    if wanted is not None and (now is None or wanted < now):
        raise PermissionDenied(
            "expires_at: only who may delete people may set an end to their stay, or an earlier one."
        )
