"""Faces in images: boxes, landmarks, quality and embeddings."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

EMBEDDING_SIZE = 512

Embedding = NDArray[np.float32]
"""One face as a vector: (512,), float32, unit length."""

Point = tuple[float, float]
"""x, y in pixels of the upright image; the origin is its top left corner."""


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A face's box in the upright image, in pixels; it may extend beyond the image."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """The area in square pixels."""
        return self.width * self.height

    def relative_to(self, width: int, height: int) -> "RelativeBox":
        """Convert to fractions of an image of this size in pixels."""
        return RelativeBox(self.x / width, self.y / height, self.width / width, self.height / height)


@dataclass(frozen=True, slots=True)
class RelativeBox:
    """A face's box in fractions of the image's width and height; values may lie outside 0..1."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """The area as a fraction of the image's."""
        return self.width * self.height

    def shared_area(self, other: "RelativeBox") -> float:
        """Return the area that two boxes of one image share."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


class Detail(StrEnum):
    """The thoroughness of detection: higher levels find smaller faces and take longer."""

    FAST = "fast"
    STANDARD = "standard"
    THOROUGH = "thorough"


class QualityReason(StrEnum):
    """Why a face fails a quality bar."""

    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    TURNED_AWAY = "turned_away"
    CUT_OFF = "cut_off"
    """Too little of the face lies within the image."""
    UNCERTAIN = "uncertain"
    """The detection score is low; only the `HIGH` bar checks it."""
    UNRELIABLE = "unreliable"
    """The quality score is below the recognizer's bar: similarities of such faces say little."""


class QualityBar(StrEnum):
    """How good a face must be: `AUTO` uses the service's limits for registration, `NONE` accepts every face."""

    NONE = "none"
    LOW = "low"
    AUTO = "auto"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One failed quality check, with the measured value and the limit."""

    reason: QualityReason
    value: float
    limit: float

    def round_value(self, min_decimals: int) -> float:
        """Round the value, with as many decimals as it takes to stay beyond the limit."""
        for decimals in range(min_decimals, 18):
            rounded = round(self.value, decimals)
            if (rounded - self.limit) * (self.value - self.limit) > 0:
                return rounded
        return self.value


RELIABLE_FROM = 30.0
"""The quality score from which on a face is reliable, whatever its recognizer: each quality model is scaled to it."""


def is_reliable(score: float | None) -> bool:
    """Return whether a face with this quality score may decide; an unknown score lowers nothing."""
    return score is None or score >= RELIABLE_FROM


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality measurements of one face; `findings` is empty if the face may be registered."""

    face_pixels: float
    sharpness: float
    brightness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    visible_share: float = 1.0
    """The share of the face's box that lies within the image, 0..1."""
    score: float | None = None
    """Unified quality score, 0..100 (ISO/IEC 29794-1); None if it was not computed or the recognizer has no model."""
    embedding_length: float | None = None
    """Length of the embedding before normalization; None without an embedding."""
    findings: tuple[QualityFinding, ...] = ()

    @property
    def is_acceptable(self) -> bool:
        return not self.findings

    @property
    def is_reliable(self) -> bool:
        """Whether similarities of the face may decide; true as well if the quality score is unknown."""
        return is_reliable(self.score)


@dataclass(frozen=True, slots=True)
class FaceAttributes:
    """Age in years and gender as a network estimates them; sensitive: for one response only, never stored or logged."""

    age: int
    is_male: bool
    gender_score: float
    """The network's own score of the gender, 0.5..1; not a measured probability."""


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face: box, landmarks (left eye, right eye, nose, mouth corners), detection score 0..1, quality."""

    box: BoundingBox
    landmarks: tuple[Point, ...]
    detection_score: float
    quality: Quality
    rotation: int = 0
    """Degrees clockwise, 0, 90, 180 or 270, by which the image must be turned to show the face upright."""
    attributes: FaceAttributes | None = field(default=None, repr=False)
    """None unless the request asked for them and the model pack has a network for them."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The faces of one image, largest first, in an upright image of `width` x `height` pixels.

    `embeddings` has one entry per face in `embedded`, which holds indexes of `faces`. `secondary` likewise holds the
    embeddings of the secondary recognizer.
    """

    width: int
    height: int
    faces: tuple[Face, ...]
    embeddings: tuple[Embedding, ...] = field(default=(), repr=False)
    secondary: tuple[Embedding, ...] = field(default=(), repr=False)
    embedded: tuple[int, ...] = ()
    left_out: int = 0
    """How many more faces were found than are listed; the smallest ones are left out."""
