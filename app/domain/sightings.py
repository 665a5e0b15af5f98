"""Sightings: the faces of albums' photos, and whom they show as far as that is known or decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.faces import RelativeBox

MACHINE = "machine"
"""Who decided a sighting that no person has decided."""


class SightingState(StrEnum):
    """What is known about whom a face shows."""

    PENDING = "pending"
    """Nobody who is looked for resembles it."""
    MATCHED = "matched"
    REVIEW = "review"
    """Somebody resembles it; a person should decide."""
    REJECTED = "rejected"
    """A person said that it is not the suggested one, and nobody else resembles it."""
    IGNORED = "ignored"
    """A person said that it does not matter who it is."""


UNKNOWN_STATES = frozenset({SightingState.PENDING, SightingState.REVIEW, SightingState.REJECTED})
"""The states of faces that nobody is known to be: they are in clusters."""


class Verdict(StrEnum):
    """What a person says about a sighting."""

    CONFIRM = "confirm"
    REJECT = "reject"
    IGNORE = "ignore"
    REOPEN = "reopen"
    """Take back what a person said; the machine decides again."""


@dataclass(frozen=True, slots=True)
class SeenSubject:
    """The subject that a face shows, or may show, and its collection."""

    id: UUID
    """The row id."""
    collection: str
    subject: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face of an album's photo or of a pool, by the face's id."""

    face_id: UUID
    album: str
    """The album's or the pool's collection."""
    photo_id: UUID
    external_id: str | None
    """The caller's id for the photo."""
    box: RelativeBox | None
    state: SightingState
    subject: SeenSubject | None
    similarity: float | None
    """The cosine with the subject's most similar template."""
    false_match_rate: float | None
    decided_by: str
    """`machine`, or the person or program that decided."""
    decided_at: datetime
    seen_at: datetime
    seq: int
    cluster_id: UUID | None = None
    is_in_object_store: bool = False
    """Whether the photo lies in the tenant's own object store, from where the face can be shown."""


@dataclass(frozen=True, slots=True)
class FaceDecisions:
    """The ids of faces that people said show a subject, and of those that they said do not."""

    confirmed: Sequence[UUID] = ()
    rejected: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class LookedFor:
    """A collection whose people are looked for in an album."""

    collection_id: UUID
    name: str
    recognizer: str | None
    """The recognizer in use; None until a face is stored."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The subject that a face matches or may match, by the collection's id and the subject's own id."""

    collection_id: UUID
    subject: str
    face_id: UUID | None
    """The stored face that resembles it most."""
    similarity: float
    false_match_rate: float | None
    is_match: bool


@dataclass(frozen=True, slots=True)
class FaceCluster:
    """Unknown faces that probably show one person: their number, that of their photos, and some of the faces."""

    id: UUID
    faces: int
    photos: int
    samples: list[UUID]


@dataclass(frozen=True, slots=True)
class FacePair:
    """What a person said about two faces: they show the same person, or two."""

    first: UUID
    second: UUID
    are_same: bool
