"""Define what a face engine does, without loading one; services and tests use only this interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import Calibration
from app.domain.faces import Embedding, FaceAttributes
from app.ml.detail import Pass
from app.ml.photo import Photo
from app.ml.pixels import Crop

UNKNOWN_QUALITY = "unknown: the recognizer has no quality model"


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected face: corners `(x1, y1, x2, y2)`, landmarks (5, 2) float32, in pixels of the picture; score 0..1.

    `rotation` is the clockwise turn of the picture, in degrees, in which the face was found.
    """

    corners: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    score: float
    rotation: int = 0

    @property
    def area(self) -> float:
        """The box's area in square pixels."""
        x1, y1, x2, y2 = self.corners
        return max(0.0, x2 - x1) * max(0.0, y2 - y1)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Describes a running recognizer, its pack and its hardware."""

    pack: str
    digest: str
    """Identity of the pack's files."""
    recognizer: str
    """The recognizer's identity: its file's name and digest. Embeddings of two recognizers are never compared."""
    embedding_size: int
    threshold: float
    threshold_source: str
    calibration: Calibration
    license: str
    providers: tuple[str, ...]
    precision: str
    """Arithmetic of the first provider: `f32`, or `bf16` on processors that support it."""
    detection_threshold: float
    """Detections with a lower score are dropped, 0..1."""
    quality: str = UNKNOWN_QUALITY
    """Where the recognizer's quality model comes from."""
    knows_only_drawings: bool = False
    can_be_inherited: bool = False
    """Whether the networks keep working in a forked process."""

    @property
    def rates_quality(self) -> bool:
        """Whether the recognizer has a quality model."""
        return self.quality != UNKNOWN_QUALITY


@dataclass(frozen=True, slots=True)
class ScoredEmbedding:
    """An embedding (512,), its length before normalization, and the face's quality score 0..100.

    The score is None if the recognizer has no quality model.
    """

    embedding: Embedding = field(repr=False)
    length: float
    quality_score: float | None


class FaceEngine(Protocol):
    """Detects, aligns and embeds faces; every method is thread-safe and blocks the calling thread.

    One detector serves all recognizers.
    """

    info: EngineInfo
    """Information about the default recognizer."""

    @property
    def infos(self) -> Mapping[str, EngineInfo]:
        """Information by recognizer identity; the default recognizer comes first."""

    def detect(self, photo: Photo, passes: Sequence[Pass]) -> list[Detection]:
        """Detect the faces that these passes show, largest first; raises `ImageTruncated`."""

    def align(self, photo: Photo, detection: Detection) -> Crop:
        """Cut out a face, warped to the recognizer's frame: (112, 112, 3), uint8, BGR."""

    def estimate_attributes(self, photo: Photo, detections: Sequence[Detection]) -> list[FaceAttributes | None]:
        """Estimate age and gender of each face, in order; None for all if the pack has no network for it."""

    def embed(self, crops: Sequence[Crop], recognizer: str | None = None) -> list[Embedding]:
        """Compute one embedding per crop, in order: (512,), float32, unit length.

        An embedding does not depend on the other crops. Without `recognizer`, the default one is used.
        """

    def embed_scored(
        self, crops: Sequence[Crop], detection_scores: Sequence[float], recognizer: str | None = None
    ) -> list[ScoredEmbedding]:
        """Compute embeddings as `embed` does, each with its length and the face's quality score."""
