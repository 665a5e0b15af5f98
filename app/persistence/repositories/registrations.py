"""Begin the registration of a subject's faces in one round trip (migration 0026)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.domain.collections import Recognizers
from app.domain.faces import RelativeBox
from app.domain.people import ConsentState, FaceOrigin
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.repeated_faces import StoredPhotoFace
from app.security.template_protection import Protection

_MAX_FACES = 200
"""Templates of a subject that are read without knowing the digests of their photos."""
_BEGIN = """
SELECT collection_id, recognizer, secondary, subject_id, was_there, former_expiry, has_consent, has_withdrawn,
       needs_consent, protected, generations, salts, key_ids, faces, images, external_images, boxes, digests,
       face_scores, have_quality
FROM vultus_begin_registration($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10, $11, $12, $13, $14)
"""


@dataclass(frozen=True, slots=True)
class SubjectValues:
    """A subject to create, or to update with the values that are not None."""

    subject: str
    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    expires_at: datetime | None = None
    consent: str | None = None


@dataclass(frozen=True, slots=True)
class BegunRegistration:
    """A locked collection and a locked subject, and what the rules for storing its faces need."""

    collection_id: UUID
    recognizer: str
    """The collection's recognizer, bound now if it had none."""
    secondary: str | None
    subject_id: UUID
    is_new: bool
    """Whether the subject was created now."""
    was_there: bool
    """Whether the subject existed before, and `former_expiry` is what it had; read only on request."""
    former_expiry: datetime | None
    consent: ConsentState
    protections: Mapping[str, Protection]
    """Of the collection's galleries, by recognizer."""
    faces: Sequence[StoredPhotoFace] | None
    """The subject's faces of photos with a digest or with one of the scores; None if these are too many to read."""


class RegistrationRepository(TenantRepository):
    """Registrations of one tenant."""

    async def begin(
        self,
        collection: str,
        values: SubjectValues,
        *,
        recognizers: Recognizers,
        default_recognizer: str,
        actor: str,
        detection_scores: Sequence[float],
        reads_expiry: bool,
    ) -> BegunRegistration | None:
        """Lock a collection, and create or update and lock a subject, until the transaction ends.

        Returns None if there is no such collection. `actor` records the consent. `reads_expiry` locks the subject
        before it is updated.
        """
        new_id = uuid4()
        row = await self._fetch_row(
            _BEGIN,
            collection,
            default_recognizer,
            recognizers.all,
            values.subject,
            new_id,
            values.name,
            json.dumps(values.metadata) if values.metadata is not None else None,
            values.expires_at,
            values.consent,
            actor,
            reads_expiry,
            list(detection_scores),
            _MAX_FACES + 1,
        )
        return _describe(row, new_id) if row is not None else None


def _describe(row: Any, new_id: UUID) -> BegunRegistration:
    galleries = zip(*(row[name] or () for name in ("protected", "generations", "salts", "key_ids")), strict=True)
    return BegunRegistration(
        row["collection_id"],
        row["recognizer"],
        row["secondary"],
        row["subject_id"],
        row["subject_id"] == new_id,
        bool(row["was_there"]),
        row["former_expiry"],
        ConsentState(row["has_consent"], row["has_withdrawn"], row["needs_consent"]),
        {name: Protection(generation, salt or b"", key_id or "") for name, generation, salt, key_id in galleries},
        _read_faces(row),
    )


def _read_faces(row: Any) -> list[StoredPhotoFace] | None:
    ids = row["faces"] or ()
    if len(ids) > _MAX_FACES:
        return None
    faces: dict[UUID, StoredPhotoFace] = {}
    columns = ("images", "boxes", "external_images", "digests", "face_scores", "have_quality")
    rows = zip(ids, *(row[name] or () for name in columns), strict=True)
    for face_id, image, box, external, digest, score, has_quality in rows:
        sides = RelativeBox(*map(float, box.strip("{}").split(",")))
        face = StoredPhotoFace(face_id, FaceOrigin(image, sides, external, digest), score, has_quality)
        former = faces.setdefault(face_id, face)  # the face's template of another recognizer
        if former.has_score and not has_quality:
            faces[face_id] = replace(former, has_score=False)
    return list(faces.values())
