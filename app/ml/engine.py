"""What a face engine is, told without loading one; services and tests speak to this, never to insightface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import Calibration
from app.domain.faces import Embedding
from app.ml.detail import Pass
from app.ml.photo import Photo
from app.ml.pixels import Crop


@dataclass(frozen=True, slots=True)
class Detection:
    """One face as the detector saw it: corners `(x1, y1, x2, y2)` and landmarks (5, 2) in pixels, score 0..1."""

    corners: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    score: float

    @property
    def area(self) -> float:
        """In square pixels."""
        x1, y1, x2, y2 = self.corners
        return max(0.0, x2 - x1) * max(0.0, y2 - y1)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Which recognizer runs, and on what."""

    pack: str
    digest: str
    """Identity of the pack's files."""
    recognizer: str
    """Identity of the recognizer: its file's name and digest. Embeddings of two recognizers are never compared."""
    embedding_size: int
    threshold: float
    threshold_source: str
    calibration: Calibration
    license: str
    providers: tuple[str, ...]
    precision: str
    """What the first provider computes in: `f32`, or `bf16` where the processor has it."""
    detection_threshold: float
    """Certainty from which on something is a face, 0..1."""
    knows_only_drawings: bool = False
    can_be_inherited: bool = False
    """Whether the networks still run in a forked process."""


class FaceEngine(Protocol):
    """Detects, aligns and embeds; every method is thread-safe and blocks the calling thread.

    One detector finds the faces for all of its recognizers.
    """

    info: EngineInfo
    """The first recognizer's: the one that embeds where none is named."""

    @property
    def infos(self) -> Mapping[str, EngineInfo]:
        """Every recognizer's, by its identity, the first one first."""

    def detect(self, photo: Photo, passes: Sequence[Pass]) -> list[Detection]:
        """All faces that these passes show, largest first; raises `ImageTruncated`."""

    def align(self, photo: Photo, detection: Detection) -> Crop:
        """The face brought to the recognizer's frame."""

    def embed(self, crops: Sequence[Crop], recognizer: str | None = None) -> list[Embedding]:
        """One unit-length embedding a crop, in order; a crop's does not depend on the others."""
