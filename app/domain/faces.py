"""Faces in images: where they are, how good they are, and their embeddings."""

from dataclasses import dataclass, field
from enum import StrEnum

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

    `beside` has the same by a second recognizer, where one was named.
    """

    width: int
    height: int
    faces: tuple[Face, ...]
    embeddings: tuple[Embedding, ...] = field(default=(), repr=False)
    secondary: tuple[Embedding, ...] = field(default=(), repr=False)
