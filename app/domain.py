"""Frozen value types that the layers share; no behaviour beyond what the values say about themselves."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

EMBEDDING_SIZE = 512

Embedding = NDArray[np.float32]
"""One face as a vector: (512,), float32, unit length."""

Point = tuple[float, float]
"""x, y in pixels of the upright image, from its top left corner."""


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A face's place in the upright image, in pixels; it may reach beyond the image's edge."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """In square pixels."""
        return self.width * self.height

    def relative_to(self, width: int, height: int) -> "RelativeBox":
        """The same place in an image of this size, whatever size it is shown at."""
        return RelativeBox(self.x / width, self.y / height, self.width / width, self.height / height)


@dataclass(frozen=True, slots=True)
class RelativeBox:
    """A face's place in shares of its image's width and height; it may leave 0..1."""

    left: float
    top: float
    width: float
    height: float


class Detail(StrEnum):
    """How hard to look for faces: what it costs, and how small a face it finds."""

    FAST = "fast"
    STANDARD = "standard"
    THOROUGH = "thorough"


class QualityReason(StrEnum):
    """Why a face would not be registered."""

    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    TURNED_AWAY = "turned_away"
    UNCERTAIN = "uncertain"
    """The detector itself doubts that it is a face; only a `HIGH` bar asks."""


class QualityBar(StrEnum):
    """How good a face must be: `AUTO` is what the service demands of whom it registers, `NONE` takes any."""

    NONE = "none"
    LOW = "low"
    AUTO = "auto"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One reason with the value measured and the limit it broke."""

    reason: QualityReason
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on one face; `findings` is empty for a face good enough to register."""

    face_pixels: float
    sharpness: float
    brightness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    findings: tuple[QualityFinding, ...] = ()

    @property
    def is_acceptable(self) -> bool:
        """Whether the face may be registered."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face: box, five landmarks (left eye, right eye, nose, mouth corners), certainty 0..1, quality."""

    box: BoundingBox
    landmarks: tuple[Point, ...]
    detection_score: float
    quality: Quality


@dataclass(frozen=True, slots=True)
class Analysis:
    """The faces of one image, largest first; `embeddings` is empty or has one entry a face.

    `beside` has the same by a second recogniser, where one was named.
    """

    width: int
    height: int
    faces: tuple[Face, ...]
    embeddings: tuple[Embedding, ...] = field(default=(), repr=False)
    beside: tuple[Embedding, ...] = field(default=(), repr=False)


class Decision(StrEnum):
    """What a similarity means at the threshold in force."""

    MATCH = "match"
    REVIEW = "review"
    """Not certain enough to go by, too similar to pass over: somebody should look."""
    NO_MATCH = "no_match"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject that a probe may show.

    `similarity` is the cosine (-1..1) with its most similar template, which ranks; `subject_similarity` with what its
    templates have in common, which one bad photo cannot raise.
    """

    subject: str
    name: str | None
    similarity: float
    subject_similarity: float


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """How often a search of a collection may find a stranger: as a match, and as somebody to look at."""

    max_false_match_rate: float = 1e-3
    review_false_match_rate: float = 5e-2


DEFAULT_POLICY = DecisionPolicy()

ONE_TO_ONE = DecisionPolicy(max_false_match_rate=1e-4, review_false_match_rate=1e-2)
"""For claims and comparisons, stricter than for a search: whoever tries may choose whom to claim to be, and try again.
1 in 10,000 is also what the FIDO Alliance's biometric requirements ask of verification."""


@dataclass(frozen=True, slots=True)
class Recognizers:
    """Who embeds a collection's faces: `in_use` is searched, with `beside` they are stored as well."""

    in_use: str
    beside: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """The one in use first."""
        return (self.in_use,) if self.beside is None else (self.in_use, self.beside)


@dataclass(frozen=True, slots=True)
class Collection:
    """A tenant's named gallery."""

    id: UUID
    name: str
    created_at: datetime
    subjects: int
    templates: int
    policy: DecisionPolicy = DEFAULT_POLICY
    calibration: dict[str, Any] | None = None
    """Its own: recogniser, points, source."""
    recognizer: str | None = None
    """Whose templates are searched; None until a face is stored: the server's first."""
    beside: str | None = None
    """With whose templates faces are stored as well."""


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
class KnownCandidate:
    """A subject that somebody named, and the similarity (cosine) of the probe with what its faces have in common."""

    subject: str
    similarity: float


@dataclass(frozen=True, slots=True)
class ExportedFace:
    """A template to take along, with its face's id; the embedding is as the recogniser made it."""

    id: UUID
    recognizer: str
    embedding: Embedding = field(repr=False)
    detection_score: float
    quality: dict[str, float]
    source: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Consent:
    """That a person agreed: the caller's reference to the proof, when and by which login it was recorded."""

    reference: str
    recorded_at: datetime
    recorded_by: str
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a tenant demands of its own faces.

    `retention_days`: so long after they were last registered or changed, subjects are erased; None: never.
    """

    consent_required: bool = False
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Where a tenant keeps its photos: an S3-compatible server, and whose credentials are used there."""

    endpoint: str
    region: str
    access_key_id: str


_LEAST_OF_MEASURED = 1e-3
"""Of the rarest rate that was measured: three orders of magnitude are a long way to extrapolate."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The cosines that strangers reach: (false-match rate, cosine) pairs, the rates falling and the cosines rising."""

    points: tuple[tuple[float, float], ...]
    source: str
    intervals: tuple[tuple[float, float], ...] = ()
    """Of each point's rate, where it is known: 95%, from the people that it was measured on."""

    @property
    def account(self) -> str:
        """Where it is from, and from where on it is extrapolated."""
        return f"{self.source}; rates below {self.points[-1][0]:g} are extrapolated"

    @property
    def least_rate(self) -> float:
        """The rarest rate that is told of a single comparison: beyond it, extrapolation is arithmetic and no more."""
        return self.points[-1][0] * _LEAST_OF_MEASURED

    def similarity_at(self, rate: float) -> float:
        """The cosine at or above which a comparison of strangers lies with this rate.

        Between two points as the logarithm of the rate goes; beyond them on the line through the last two.
        """
        wanted = math.log10(rate)
        rates, cosines = self._axes()
        last = max(1, next((index for index, known in enumerate(rates) if known <= wanted), len(rates) - 1))
        slope = (cosines[last] - cosines[last - 1]) / (rates[last] - rates[last - 1])
        return cosines[last] + slope * (wanted - rates[last])

    def rate_at(self, similarity: float) -> float:
        """The rate at which comparisons of strangers reach this cosine: the inverse, at most 1."""
        rates, cosines = self._axes()
        last = max(1, next((index for index, known in enumerate(cosines) if known >= similarity), len(cosines) - 1))
        slope = (rates[last] - rates[last - 1]) / (cosines[last] - cosines[last - 1])
        return float(10 ** min(0.0, rates[last] + slope * (similarity - cosines[last])))

    def _axes(self) -> tuple[list[float], list[float]]:
        return [math.log10(rate) for rate, _ in self.points], [cosine for _, cosine in self.points]


@dataclass(frozen=True, slots=True)
class GalleryScale:
    """How many templates were compared, and how their collection wants decisions made.

    `calibration` is the collection's own, if it has one for the recogniser in use.
    """

    templates: int
    policy: DecisionPolicy = DEFAULT_POLICY
    calibration: Calibration | None = None


EMPTY = GalleryScale(0)
"""Of a gallery with nothing in it."""


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
