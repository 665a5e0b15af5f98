"""Decide what is looked for in a photo, which faces are embedded and which are good enough. Blocking.

A `FaceFinder` runs the networks, in this process or on another host.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Detail, Face, QualityBar, QualityFinding
from app.ml.face_pictures import cut_faces
from app.ml.finding import Embeddable, FaceFinder, FoundFaces, Look
from app.ml.image import ImageLimits, open_photo
from app.ml.quality import QualityLimits, judge_face, rate_face
from app.ml.turns import SURELY_UPRIGHT_QUALITY, SURELY_UPRIGHT_SCORE


class Embed(Enum):
    """Which faces get embeddings; an embedding costs as much as the detection, so request no more than necessary."""

    NONE = "none"
    ALL = "all"
    LARGEST = "largest"
    ONLY = "only"
    """The only face, if there is exactly one and it is good enough to register."""
    LARGEST_ACCEPTABLE = "largest_acceptable"
    """The largest face, if it is good enough to register."""


Chooser = Callable[[Sequence[Face]], Sequence[int]]
"""Returns the indexes of the faces that get embeddings, given all faces, largest first."""


@dataclass(frozen=True, slots=True)
class MeasuredFace:
    """A face, and what a quality model sees of it: (INPUTS,) float32, see `assemble_inputs`."""

    face: Face
    inputs: NDArray[np.float32]


class FaceAnalyzer:
    """Turns image bytes into faces; stateless apart from the finder and the limits, and thread-safe."""

    def __init__(self, engine: FaceFinder, images: ImageLimits, quality: QualityLimits) -> None:
        self._engine = engine
        self._images = images
        self._quality = quality

    @property
    def engine(self) -> FaceFinder:
        return self._engine

    def judge(self, face: Face, bar: QualityBar) -> tuple[QualityFinding, ...]:
        """List the reasons why a face fails the quality bar; empty if it passes."""
        return judge_face(face, bar, self._quality)

    def warm_up(self) -> None:
        """Prepare the networks, so that the first photo takes no longer than others."""
        self._engine.warm_up()

    def analyze(
        self,
        data: bytes,
        embed: Embed | Chooser,
        detail: Detail = Detail.STANDARD,
        recognizers: Recognizers | None = None,
        *,
        with_attributes: bool = False,
        may_turn: bool = True,
    ) -> Analysis:
        """Detect the faces of an image, largest first and at most `max_faces`, and embed some of them.

        Boxes and landmarks are in pixels of the upright image. Embeddings are (512,), float32, unit length, and follow
        the order of `faces`, or that of a `Chooser`'s indexes. `LARGEST` gives at most one embedding; `ONLY` and
        `LARGEST_ACCEPTABLE` give none unless that face may be registered.

        `embeddings` are those of the recognizer in use, by default the engine's first. If `recognizers` has a secondary
        one, `secondary` has its embeddings of the same faces. With `with_attributes`, faces have `attributes` if the
        engine has a network for them. Without `may_turn`, the image is not searched in other turns. Raises a subclass
        of `ImageRefused`.
        """
        look = Look(
            detail=detail,
            recognizers=recognizers,
            embeddable=_EMBEDDABLE[embed] if isinstance(embed, Embed) else Embeddable.ALL,
            with_attributes=with_attributes,
            may_turn=may_turn,
        )
        found = _embed(self._engine.find(data, look), embed)
        if not may_turn or _is_surely_upright(found):
            return found
        # Decode the photo again rather than keep its pixels through every embedding: few photos come here.
        turned = self._engine.find(data, replace(look, seen=found.faces))
        return _embed(turned, embed) if _is_turned(turned.analysis) else found

    def cut_faces(self, data: bytes, faces: Sequence[Face]) -> list[bytes]:
        """Return a small upright JPEG of each of the image's faces; raises a subclass of `ImageRefused`."""
        return cut_faces(open_photo(data, self._images), faces)

    def measure(self, data: bytes, choose: Callable[[Sequence[Face]], int]) -> MeasuredFace | None:
        """Measure one face of an image as a quality model sees it; None without a face.

        The image is not searched in other turns. Raises a subclass of `ImageRefused`.
        """
        found = self._engine.find(data, Look(may_turn=False))
        faces = found.analysis.faces
        if not faces:
            return None
        chosen = choose(faces)
        return MeasuredFace(faces[chosen], found.measure(chosen))


_EMBEDDABLE = {
    Embed.NONE: Embeddable.NONE,
    Embed.ALL: Embeddable.ALL,
    Embed.LARGEST: Embeddable.LARGEST,
    Embed.ONLY: Embeddable.LARGEST,
    Embed.LARGEST_ACCEPTABLE: Embeddable.LARGEST,
}


def _embed(found: FoundFaces, embed: Embed | Chooser) -> Analysis:
    """Embed the chosen faces of an image and rate their quality."""
    faces = found.analysis.faces
    chosen = range(_count(embed, faces)) if isinstance(embed, Embed) else embed(faces)
    if not chosen:
        return found.analysis
    scored, others = found.embed(chosen)
    rated = dict(zip(chosen, scored, strict=True))
    faces = tuple(rate_face(face, rated[index]) if index in rated else face for index, face in enumerate(faces))
    embeddings = tuple(one.embedding for one in scored)
    return replace(found.analysis, faces=faces, embeddings=embeddings, secondary=tuple(others), embedded=tuple(chosen))


def _is_surely_upright(found: Analysis) -> bool:
    """Whether no embedded face is so bad that it may be upside down; true as well for faces found in a turn."""
    embedded = [found.faces[index] for index in found.embedded]
    return not embedded or _is_turned(found) or any(_is_upright(face) for face in embedded)


def _is_upright(face: Face) -> bool:
    score = face.quality.score
    return score is None or score >= SURELY_UPRIGHT_QUALITY or face.detection_score > SURELY_UPRIGHT_SCORE


def _is_turned(found: Analysis) -> bool:
    return any(face.rotation for face in found.faces)


def _count(embed: Embed, faces: tuple[Face, ...]) -> int:
    """Return how many of the faces get embeddings, counted from the largest one."""
    match embed:
        case Embed.ALL:
            return len(faces)
        case Embed.LARGEST:
            return min(1, len(faces))
        case Embed.ONLY:
            return int(len(faces) == 1 and faces[0].quality.is_acceptable)
        case Embed.LARGEST_ACCEPTABLE:
            return int(bool(faces) and faces[0].quality.is_acceptable)
        case Embed.NONE:
            return 0
