"""Subjects, their consent, and their stored faces."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.faces import Embedding, RelativeBox


@dataclass(frozen=True, slots=True)
class Consent:
    """That a person agreed: the caller's reference to the proof, when and by which login it was recorded."""

    reference: str
    recorded_at: datetime
    recorded_by: str
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class Subject:
    """One person in one collection; `subject` is the caller's own id for them."""

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
    """A subject as it is stored, without counts."""

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
class Template:
    """The stored record of one face; the embedding stays in the database."""

    id: UUID
    recognizer: str
    detection_score: float
    quality: dict[str, float]
    source: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FaceOrigin:
    """Which image a stored face is from, and where in it; `digest` is there if it is not to be stored twice."""

    image_id: UUID
    box: RelativeBox
    external_image_id: str | None = None
    digest: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CollectionFace:
    """A stored face as its collection shows it.

    `subject` is None while nobody has said whose it is; `image_id` and `box` are missing of faces stored before they
    were kept.
    """

    id: UUID
    recognizer: str
    detection_score: float
    image_id: UUID | None
    external_image_id: str | None
    box: RelativeBox | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class FaceCandidate:
    """A stored face and its similarity (cosine) with the probe."""

    face: CollectionFace
    similarity: float


@dataclass(frozen=True, slots=True)
class NamedCandidate:
    """A subject that somebody named, and the similarity (cosine) of the probe with what its faces have in common."""

    subject: str
    similarity: float


@dataclass(frozen=True, slots=True)
class ExportedFace:
    """A template to take along, with its face's id; the embedding is as the recognizer made it."""

    id: UUID
    recognizer: str
    embedding: Embedding = field(repr=False)
    detection_score: float
    quality: dict[str, float]
    source: str
    created_at: datetime
