"""Run the pipeline of one image: decode, detect, align, assess, embed. Blocking; runs on an inference thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, BoundingBox, Detail, Face, QualityBar, QualityFinding
from app.ml.detail import Pass, plan_passes
from app.ml.engine import Detection, FaceEngine
from app.ml.face_pictures import cut_faces
from app.ml.face_quality.features import measure_crop
from app.ml.face_quality.model import assemble_inputs
from app.ml.image import ImageLimits, open_photo
from app.ml.photo import Photo
from app.ml.pixel_sources import PillowSource
from app.ml.pixels import CROP_SIDE, Crop
from app.ml.quality import QualityLimits, assess_quality, judge_face, rate_face
from app.ml.turns import SURELY_UPRIGHT_QUALITY, SURELY_UPRIGHT_SCORE, detect_turned, may_be_upright
from app.telemetry import timed


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
    """Turns image bytes into faces; stateless apart from the engine and the limits, and thread-safe."""

    def __init__(self, engine: FaceEngine, images: ImageLimits, quality: QualityLimits, *, max_faces: int) -> None:
        self._engine = engine
        self._images = images
        self._quality = quality
        self._max_faces = max_faces

    @property
    def engine(self) -> FaceEngine:
        return self._engine

    def judge(self, face: Face, bar: QualityBar) -> tuple[QualityFinding, ...]:
        """List the reasons why a face fails the quality bar; empty if it passes."""
        return judge_face(face, bar, self._quality)

    def warm_up(self) -> None:
        """Run every network once in its usual shape, so that the first photo takes no longer than others."""
        gray = Image.linear_gradient("L")
        photo = Photo(PillowSource(gray, lambda part: np.repeat(np.asarray(part)[..., None], 3, axis=2)))
        self._engine.detect(photo, plan_passes(photo.width, photo.height, Detail.STANDARD, 40))
        crop = photo.render((0, 0, 256, 256), CROP_SIDE, CROP_SIDE)
        for recognizer in self._engine.infos:
            self._engine.embed([crop], recognizer)
        whole = Detection((0, 0, photo.width, photo.height), np.zeros((5, 2), np.float32), 1.0)
        self._engine.estimate_attributes(photo, [whole])

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
        first = self._find(data, detail, may_turn=may_turn, with_attributes=with_attributes)
        found = self._embed(*first, embed, recognizers)
        if not may_turn or _is_surely_upright(found):
            return found
        # Decode the photo again rather than keep its pixels through every embedding: few photos come here.
        turned, crops = self._find(data, detail, seen=found.faces, with_attributes=with_attributes)
        return self._embed(turned, crops, embed, recognizers) if _is_turned(turned) else found

    def _embed(
        self, found: Analysis, crops: list[Crop], embed: Embed | Chooser, recognizers: Recognizers | None
    ) -> Analysis:
        """Embed the chosen faces of an image and rate their quality."""
        faces = found.faces
        chosen = range(_count(embed, faces)) if isinstance(embed, Embed) else embed(faces)
        chosen_crops = [crops[index] for index in chosen]
        if not chosen_crops:
            return found
        in_use, secondary = (recognizers.in_use, recognizers.secondary) if recognizers is not None else (None, None)
        scored = self._engine.embed_scored(chosen_crops, [faces[index].detection_score for index in chosen], in_use)
        others = self._engine.embed(chosen_crops, secondary) if secondary is not None else []
        rated = dict(zip(chosen, scored, strict=True))
        faces = tuple(rate_face(face, rated[index]) if index in rated else face for index, face in enumerate(faces))
        embeddings = tuple(one.embedding for one in scored)
        return replace(found, faces=faces, embeddings=embeddings, secondary=tuple(others), embedded=tuple(chosen))

    def cut_faces(self, data: bytes, faces: Sequence[Face]) -> list[bytes]:
        """Return a small upright JPEG of each of the image's faces; raises a subclass of `ImageRefused`."""
        return cut_faces(open_photo(data, self._images), faces)

    def measure(self, data: bytes, choose: Callable[[Sequence[Face]], int]) -> MeasuredFace | None:
        """Measure one face of an image as a quality model sees it; None without a face.

        The image is not searched in other turns. Raises a subclass of `ImageRefused`.
        """
        found, crops = self._find(data, Detail.STANDARD, may_turn=False)
        if not found.faces:
            return None
        chosen = choose(found.faces)
        face, crop = found.faces[chosen], crops[chosen]
        (embedded,) = self._engine.embed_scored([crop], [face.detection_score])
        inputs = assemble_inputs(measure_crop(crop), face.detection_score, embedded.embedding, embedded.length)
        return MeasuredFace(face, inputs)

    def _find(
        self,
        data: bytes,
        detail: Detail,
        *,
        may_turn: bool = True,
        seen: Sequence[Face] = (),
        with_attributes: bool = False,
    ) -> tuple[Analysis, list[Crop]]:
        """Return the faces and their crops, without embeddings; the pixels are freed before those are computed.

        The image is also searched in other turns if no face may be upright, or if it was `seen` before with faces that
        turned out not to be; not without `may_turn`.
        """
        with timed("decode"):
            photo = open_photo(data, self._images)
        detected = [_as_detection(face) for face in seen] or self._engine.detect(photo, self._plan(photo, detail))
        if may_turn and (seen or not may_be_upright(self._engine, detected)):
            detected = detect_turned(self._engine, photo, detail, self._quality.min_face_pixels, detected)
        detections = detected[: self._max_faces]
        crops = [self._engine.align(photo, detection) for detection in detections]
        size = photo.width, photo.height
        faces = tuple(self._describe(detection, crop, size) for detection, crop in zip(detections, crops, strict=True))
        if with_attributes:
            estimated = self._engine.estimate_attributes(photo, detections)
            faces = tuple(replace(face, attributes=one) for face, one in zip(faces, estimated, strict=True))
        return Analysis(photo.width, photo.height, faces, left_out=len(detected) - len(detections)), crops

    def _plan(self, photo: Photo, detail: Detail) -> list[Pass]:
        return plan_passes(photo.width, photo.height, detail, self._quality.min_face_pixels)

    def _describe(self, detection: Detection, crop: Crop, image_size: tuple[int, int]) -> Face:
        x1, y1, x2, y2 = detection.corners
        return Face(
            box=BoundingBox(x1, y1, x2 - x1, y2 - y1),
            landmarks=tuple((float(x), float(y)) for x, y in detection.landmarks),
            detection_score=detection.score,
            quality=assess_quality(detection, crop, image_size, self._quality),
            rotation=detection.rotation,
        )


def _is_surely_upright(found: Analysis) -> bool:
    """Whether no embedded face is so bad that it may be upside down; true as well for faces found in a turn."""
    embedded = [found.faces[index] for index in found.embedded]
    return not embedded or _is_turned(found) or any(_is_upright(face) for face in embedded)


def _is_upright(face: Face) -> bool:
    score = face.quality.score
    return score is None or score >= SURELY_UPRIGHT_QUALITY or face.detection_score > SURELY_UPRIGHT_SCORE


def _as_detection(face: Face) -> Detection:
    box = face.box
    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
    return Detection(corners, np.array(face.landmarks, dtype=np.float32), face.detection_score)


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
