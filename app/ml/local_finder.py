"""Find faces with the networks of this process: decode, detect, align, measure, embed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.domain.faces import Analysis, BoundingBox, Detail, Embedding, Face
from app.ml.detail import plan_passes
from app.ml.engine import Detection, EngineInfo, FaceEngine, ScoredEmbedding
from app.ml.face_quality.features import measure_crop
from app.ml.face_quality.model import assemble_inputs
from app.ml.finding import FoundFaces, Look
from app.ml.image import ImageLimits, open_photo
from app.ml.photo import Photo
from app.ml.pixel_sources import PillowSource
from app.ml.pixels import CROP_SIDE, Crop
from app.ml.quality import QualityLimits, assess_quality
from app.ml.turns import detect_turned, may_be_upright
from app.telemetry import timed


class LocalFinder:
    """Implements `FaceFinder` with an engine of this process; at most `max_faces` faces per photo are described."""

    def __init__(self, engine: FaceEngine, images: ImageLimits, quality: QualityLimits, *, max_faces: int) -> None:
        self.engine = engine
        self._images = images
        self.quality = quality
        self._max_faces = max_faces

    @property
    def info(self) -> EngineInfo:
        return self.engine.info

    @property
    def infos(self) -> Mapping[str, EngineInfo]:
        return self.engine.infos

    def warm_up(self) -> None:
        """Run every network once in its usual shape, so that the first photo takes no longer than others."""
        gray = Image.linear_gradient("L")
        photo = Photo(PillowSource(gray, lambda part: np.repeat(np.asarray(part)[..., None], 3, axis=2)))
        self.engine.detect(photo, plan_passes(photo.width, photo.height, Detail.STANDARD, 40))
        crop = photo.render((0, 0, 256, 256), CROP_SIDE, CROP_SIDE)
        for recognizer in self.engine.infos:
            self.engine.embed([crop], recognizer)
        whole = Detection((0, 0, photo.width, photo.height), np.zeros((5, 2), np.float32), 1.0)
        self.engine.estimate_attributes(photo, [whole])

    def find(self, data: bytes, look: Look) -> FoundFaces:
        """Return the faces and their crops; the pixels are freed before embeddings are computed."""
        with timed("decode"):
            photo = open_photo(data, self._images)
        min_pixels = self.quality.min_face_pixels
        detected = [_as_detection(face) for face in look.seen] or self.engine.detect(
            photo, plan_passes(photo.width, photo.height, look.detail, min_pixels)
        )
        if look.may_turn and (look.seen or not may_be_upright(self.engine, detected)):
            detected = detect_turned(self.engine, photo, look.detail, min_pixels, detected)
        detections = detected[: self._max_faces]
        crops = [self.engine.align(photo, detection) for detection in detections]
        size = photo.width, photo.height
        faces = tuple(self._describe(detection, crop, size) for detection, crop in zip(detections, crops, strict=True))
        if look.with_attributes:
            estimated = self.engine.estimate_attributes(photo, detections)
            faces = tuple(replace(face, attributes=one) for face, one in zip(faces, estimated, strict=True))
        analysis = Analysis(photo.width, photo.height, faces, left_out=len(detected) - len(detections))
        return _LocalFaces(self.engine, look, analysis, crops)

    def _describe(self, detection: Detection, crop: Crop, image_size: tuple[int, int]) -> Face:
        x1, y1, x2, y2 = detection.corners
        return Face(
            box=BoundingBox(x1, y1, x2 - x1, y2 - y1),
            landmarks=tuple((float(x), float(y)) for x, y in detection.landmarks),
            detection_score=detection.score,
            quality=assess_quality(detection, crop, image_size, self.quality),
            rotation=detection.rotation,
        )


@dataclass(frozen=True, slots=True)
class _LocalFaces:
    """Implements `FoundFaces`: computes embeddings when they are asked for."""

    engine: FaceEngine
    look: Look
    analysis: Analysis
    crops: list[Crop]

    def embed(self, chosen: Sequence[int]) -> tuple[list[ScoredEmbedding], list[Embedding]]:
        recognizers = self.look.recognizers
        in_use, secondary = (recognizers.in_use, recognizers.secondary) if recognizers is not None else (None, None)
        crops = [self.crops[index] for index in chosen]
        scores = [self.analysis.faces[index].detection_score for index in chosen]
        scored = self.engine.embed_scored(crops, scores, in_use)
        return scored, self.engine.embed(crops, secondary) if secondary is not None else []

    def measure(self, index: int) -> NDArray[np.float32]:
        crop, score = self.crops[index], self.analysis.faces[index].detection_score
        (embedded,) = self.engine.embed_scored([crop], [score])
        return assemble_inputs(measure_crop(crop), score, embedded.embedding, embedded.length)


def _as_detection(face: Face) -> Detection:
    box = face.box
    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
    return Detection(corners, np.array(face.landmarks, dtype=np.float32), face.detection_score)
