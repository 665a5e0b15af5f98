"""The pipeline of one image: decode, detect, align, judge, embed. Blocking; runs on an inference thread."""

from collections.abc import Callable, Sequence
from enum import Enum

import numpy as np
from PIL import Image

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, BoundingBox, Detail, Face, QualityBar, QualityFinding
from app.ml.detail import plan_passes
from app.ml.engine import Detection, FaceEngine
from app.ml.image import ImageLimits, open_photo
from app.ml.photo import Photo, PillowSource
from app.ml.pixels import CROP_SIDE, Crop
from app.ml.quality import QualityLimits, assess_quality, judge_by
from app.telemetry import timed


class Embed(Enum):
    """For which faces embeddings are wanted: recognition costs as much as detection, so never for more than needed."""

    NONE = "none"
    ALL = "all"
    LARGEST = "largest"
    ONLY = "only"
    """The one face, if there is exactly one and it is good enough to register."""
    LARGEST_ACCEPTABLE = "largest_acceptable"
    """The largest face, if it is good enough to register."""


Chooser = Callable[[Sequence[Face]], Sequence[int]]
"""Names by their places the faces whose embeddings are wanted."""


class FaceAnalyzer:
    """Turns image bytes into faces; holds the engine and the limits, no state of its own."""

    def __init__(self, engine: FaceEngine, images: ImageLimits, quality: QualityLimits, *, max_faces: int) -> None:
        self._engine = engine
        self._images = images
        self._quality = quality
        self._max_faces = max_faces

    @property
    def engine(self) -> FaceEngine:
        """The engine in use."""
        return self._engine

    def judge(self, face: Face, bar: QualityBar) -> tuple[QualityFinding, ...]:
        """What keeps a face below a bar; empty: nothing."""
        return judge_by(face, bar, self._quality)

    def warm_up(self) -> None:
        """Run every network once, in its usual shape: the first photo then finds everything in place."""
        gray = Image.linear_gradient("L")
        photo = Photo(PillowSource(gray, lambda part: np.repeat(np.asarray(part)[..., None], 3, axis=2)))
        self._engine.detect(photo, plan_passes(photo.width, photo.height, Detail.STANDARD, 40))
        crop = photo.render((0, 0, 256, 256), CROP_SIDE, CROP_SIDE)
        for recognizer in self._engine.infos:
            self._engine.embed([crop], recognizer)

    def analyze(
        self,
        data: bytes,
        embed: Embed | Chooser,
        detail: Detail = Detail.STANDARD,
        recognizers: Recognizers | None = None,
    ) -> Analysis:
        """The faces of an image, the `max_faces` largest, with embeddings for the ones asked for.

        `embeddings` follows the order of `faces` and may be shorter: with `LARGEST` it has at most one entry, with
        `ONLY` and `LARGEST_ACCEPTABLE` it is empty unless that face may be registered. A `Chooser` names faces itself,
        and has their embeddings in its own order. They are by the engine's first recognizer, or by the one in use
        of those named; then `beside` has the same faces by the other. Raises an `ImageRefused`.
        """
        with timed("decode"):
            photo = open_photo(data, self._images)
        passes = plan_passes(photo.width, photo.height, detail, self._quality.min_face_pixels)
        detections = self._engine.detect(photo, passes)[: self._max_faces]
        crops = [self._engine.align(photo, detection) for detection in detections]
        faces = tuple(self._describe(detection, crop) for detection, crop in zip(detections, crops, strict=True))
        chosen = range(_count(embed, faces)) if isinstance(embed, Embed) else embed(faces)
        wanted = [crops[index] for index in chosen]
        width, height = photo.width, photo.height
        del photo  # the pixels are not needed while the faces are recognized
        if not wanted:
            return Analysis(width, height, faces)
        in_use, secondary = (recognizers.in_use, recognizers.secondary) if recognizers is not None else (None, None)
        embeddings = self._engine.embed(wanted, in_use)
        others = self._engine.embed(wanted, secondary) if secondary is not None else []
        return Analysis(width, height, faces, tuple(embeddings), tuple(others))

    def _describe(self, detection: Detection, crop: Crop) -> Face:
        x1, y1, x2, y2 = detection.corners
        return Face(
            box=BoundingBox(x1, y1, x2 - x1, y2 - y1),
            landmarks=tuple((float(x), float(y)) for x, y in detection.landmarks),
            detection_score=detection.score,
            quality=assess_quality(detection, crop, self._quality),
        )


def _count(embed: Embed, faces: tuple[Face, ...]) -> int:
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
