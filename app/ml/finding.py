"""Define how faces are found in a photo, by networks of this process or of another host, without doing either.

`FaceAnalyzer` decides what to look for and what counts; a `FaceFinder` runs the networks. Services know neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Detail, Embedding, Face
from app.ml.engine import EngineInfo, ScoredEmbedding


class Embeddable(StrEnum):
    """Which faces the caller may want embeddings of, once it has seen all faces."""

    NONE = "none"
    LARGEST = "largest"
    ALL = "all"

    def among(self, faces: int) -> int:
        """Return how many of the faces these are, counted from the largest one."""
        return {Embeddable.NONE: 0, Embeddable.LARGEST: min(1, faces), Embeddable.ALL: faces}[self]


@dataclass(frozen=True, slots=True)
class Look:
    """How to look at one photo."""

    detail: Detail = Detail.STANDARD
    recognizers: Recognizers | None = None
    """Those that compute the embeddings; None: the default one."""
    embeddable: Embeddable = Embeddable.ALL
    with_attributes: bool = False
    may_turn: bool = True
    """Whether the photo is also searched in other turns if no face may be upright."""
    seen: tuple[Face, ...] = ()
    """Faces of an earlier look that turned out not to be upright: the photo is searched in other turns only."""


class FoundFaces(Protocol):
    """The faces of one photo, and what is computed of them on demand."""

    @property
    def analysis(self) -> Analysis:
        """All faces, largest first, without embeddings and quality scores."""

    def embed(self, chosen: Sequence[int]) -> tuple[list[ScoredEmbedding], list[Embedding]]:
        """Return the embeddings of the faces with these indexes, and those of the secondary recognizer, if any."""

    def measure(self, index: int) -> NDArray[np.float32]:
        """Return what a quality model sees of a face: (INPUTS,) float32, see `assemble_inputs`."""


class FaceFinder(Protocol):
    """Finds and embeds the faces of photos; every method is thread-safe and blocks the calling thread."""

    @property
    def info(self) -> EngineInfo:
        """Information about the default recognizer."""

    @property
    def infos(self) -> Mapping[str, EngineInfo]:
        """Information by recognizer identity; the default recognizer comes first."""

    def find(self, data: bytes, look: Look) -> FoundFaces:
        """Find the faces of a photo.

        Raises a subclass of `ImageRefused`, and `InferenceUnavailable` if the networks run elsewhere.
        """

    def warm_up(self) -> None:
        """Run every network once, or check that the host with the networks has the right ones."""
