"""Subjects, their consent, and their stored faces."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.faces import Embedding, RelativeBox

MAX_METADATA_BYTES = 16 * 1024
"""The size of a subject's metadata as JSON."""
ANONYMOUS_PREFIX = "face@"
"""The start of every anonymous subject's id; no other subject may have such an id."""


@dataclass(frozen=True, slots=True)
class Consent:
    """A recorded consent: the caller's reference to the proof, when it was recorded and by which login."""

    reference: str
    recorded_at: datetime
    recorded_by: str
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConsentState:
    """Whether a subject has a consent, withdrew it, and needs one for its faces to be stored."""

    is_given: bool
    is_withdrawn: bool
    is_required: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """One person in one collection; `subject` is the id that the caller chose, `templates` counts faces."""

    subject: str
    name: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    templates: int
    consent: Consent | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """A subject's row, without counts; `id` is the row id, `subject` the id that the caller chose."""

    id: UUID
    subject: str
    is_anonymous: bool
    updated_at: datetime
    expires_at: datetime | None
    consent: str | None
    """The caller's reference to the proof."""
    consented_at: datetime | None
    consent_recorded_by: str | None
    consent_withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class FaceOrigin:
    """The image and box that a stored face comes from; None where unknown, as before migration 0013.

    `external_image_id` is the caller's own id for the image. `digest` is set if its registration is idempotent.
    """

    image_id: UUID | None = None
    box: RelativeBox | None = None
    external_image_id: str | None = None
    digest: bytes | None = field(default=None, repr=False)


UNKNOWN_ORIGIN = FaceOrigin()


@dataclass(frozen=True, slots=True)
class MatchedFace:
    """The stored face that makes a subject a candidate, by id, and where it comes from."""

    id: UUID
    origin: FaceOrigin


@dataclass(frozen=True, slots=True)
class Template:
    """The stored record of one face, without its embedding."""

    id: UUID
    recognizer: str
    detection_score: float
    quality: dict[str, float]
    source: str
    created_at: datetime
    origin: FaceOrigin = UNKNOWN_ORIGIN


@dataclass(frozen=True, slots=True)
class CollectionFace:
    """A stored face as collections list it.

    `subject` is None for an anonymous face. `image_id` and `box` are None for faces stored before migration 0013.
    """

    id: UUID
    recognizer: str
    detection_score: float
    image_id: UUID | None
    external_image_id: str | None
    box: RelativeBox | None
    subject: str | None
    is_reliable: bool = True
    """False if the face's quality score is known and too low for a match."""

    @property
    def origin(self) -> FaceOrigin:
        """The image and box that the face comes from."""
        return FaceOrigin(self.image_id, self.box, self.external_image_id)


@dataclass(frozen=True, slots=True)
class FaceCandidate:
    """A stored face and its similarity (cosine, -1..1) to the probe."""

    face: CollectionFace
    similarity: float


@dataclass(frozen=True, slots=True)
class NamedCandidate:
    """A named subject, and the similarity (cosine, -1..1) of the probe to what the subject's faces have in common."""

    subject: str
    similarity: float


@dataclass(frozen=True, slots=True)
class ExportedFace:
    """A template for export, with its face's id and the unprotected embedding."""

    id: UUID
    recognizer: str
    embedding: Embedding = field(repr=False)
    detection_score: float
    quality: dict[str, float]
    source: str
    created_at: datetime
    origin: FaceOrigin = UNKNOWN_ORIGIN
