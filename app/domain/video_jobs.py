"""Jobs that look at a video which belongs to no album: who is seen when, and whom of a collection they resemble."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.faces import RelativeBox
from app.domain.videos import VideoFacts, VideoSource, VideoState


class VideoJobKind(StrEnum):
    """What is looked for."""

    DETECTION = "detection"
    """Faces at each time."""
    SEARCH = "search"
    """And whom of a collection they resemble."""


@dataclass(frozen=True, slots=True)
class VideoJobOrder:
    """What is wanted of a video."""

    kind: VideoJobKind
    collection: str | None = None
    """The collection that is searched."""
    collection_id: UUID | None = None
    min_similarity: float = -1.0
    """Less similar faces are not matches (cosine)."""
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class VideoJob:
    """A job and how far it is."""

    id: UUID
    order: VideoJobOrder
    source: VideoSource
    state: VideoState
    facts: VideoFacts | None
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class JobFace:
    """A face at a time of a job's video; `person` numbers those who appear, from 0."""

    at_ms: int
    person: int
    box: RelativeBox
    detection_score: float


@dataclass(frozen=True, slots=True)
class JobMatch:
    """A stored face that a person in a job's video resembles (cosine)."""

    person: int
    face_id: UUID
    similarity: float
