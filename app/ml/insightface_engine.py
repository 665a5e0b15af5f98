"""The face engine: SCRFD of one InsightFace pack and ArcFace of one or several, on onnxruntime.

InsightFace's own classes would do the same more slowly (decoding every anchor, scikit-image for an alignment) and cost
a second at start and 34 MB a worker; they are what the tests compare with.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.ml.alignment import estimate_alignment
from app.ml.arcface import ArcFace
from app.ml.batching import Batcher
from app.ml.detail import SMALL_INPUT, Pass
from app.ml.engine import Detection, EngineInfo
from app.ml.packs import ModelPack
from app.ml.photo import Photo
from app.ml.pixels import CROP_SIDE, Crop
from app.ml.scrfd import Found, Scrfd, merge
from app.ml.sessions import Runtime
from app.telemetry import timed

_EDGE = 4.0
"""A box that comes so near to the edge of a tile, in input pixels, may be cut by it."""

_FILLS = 0.6
"""A face with this share of the input's longer side is seen better in a smaller one."""

# Requests run side by side: a picture that took several cores would take them from others.
cv2.setNumThreads(1)


class InsightFaceEngine:
    """SCRFD and ArcFace from one model pack, ArcFace also from others; thread-safe, as onnxruntime's sessions are."""

    def __init__(
        self, pack: ModelPack, runtime: Runtime, *, others: Sequence[ModelPack] = (), detection_threshold: float = 0.5
    ) -> None:
        self._detection_threshold = detection_threshold
        self._detector = Scrfd(runtime.open(pack.detection))
        # Where each change of shape costs time, the small look that nearly every picture gets has its own session.
        self._small = Scrfd(runtime.open(pack.detection)) if runtime.is_slow_to_reshape else self._detector
        packs: dict[str, ModelPack] = {}
        for one in (pack, *others):
            packs.setdefault(one.recognizer, one)
        self._recognizers = {name: _Recognizer(one, runtime, detection_threshold) for name, one in packs.items()}
        self.info = self._recognizers[pack.recognizer].info

    @property
    def infos(self) -> dict[str, EngineInfo]:
        """Every recognizer's, by its identity, the first one first."""
        return {name: recognizer.info for name, recognizer in self._recognizers.items()}

    def detect(self, photo: Photo, passes: Sequence[Pass]) -> list[Detection]:
        """All faces that these passes show, largest first; raises `ImageTruncated`."""
        with timed("detect"):
            merged = merge([self._look(photo, one) for one in passes])
        found = [
            Detection((float(box[0]), float(box[1]), float(box[2]), float(box[3])), points, float(min(score, 1.0)))
            for box, points, score in zip(merged.boxes, merged.landmarks, merged.scores, strict=True)
        ]
        return sorted(found, key=lambda detection: detection.area, reverse=True)

    def _look(self, photo: Photo, look: Pass) -> Found:
        input_width, input_height = self._detector.fixed_input or look.input_size
        left, top, right, bottom = look.box
        ratio = min(input_width / (right - left), input_height / (bottom - top))
        width = min(input_width, max(1, round((right - left) * ratio)))
        height = min(input_height, max(1, round((bottom - top) * ratio)))
        letterboxed = np.zeros((input_height, input_width, 3), np.uint8)
        letterboxed[:height, :width] = photo.render(look.box, width, height)
        detector = self._small if look.input_size == SMALL_INPUT else self._detector
        found = detector.find(letterboxed, self._detection_threshold)
        if look.is_tile:
            found = _uncut(found, look, (width, height), (photo.width, photo.height))
        found = found.seen(1 / ratio, _fills(found, (input_width, input_height)))
        return found.moved(((right - left) / width, (bottom - top) / height), (left, top))

    def align(self, photo: Photo, detection: Detection) -> Crop:
        """The face in ArcFace's 112x112 frame, by the similarity transform that fits its five landmarks best."""
        with timed("align"):
            return photo.warp(estimate_alignment(detection.landmarks), CROP_SIDE)

    def embed(self, crops: Sequence[Crop], recognizer: str | None = None) -> list[Embedding]:
        """One unit-length embedding a crop, by the recognizer named or the first."""
        with timed("embed"):
            return self._recognizers[recognizer or self.info.recognizer].embed(crops)


class _Recognizer:
    """ArcFace of one pack: one run a face on a CPU, where batches gain nothing.

    On a GPU together with what other requests want at that moment.
    """

    def __init__(self, pack: ModelPack, runtime: Runtime, detection_threshold: float) -> None:
        session = runtime.open(pack.recognition)
        self._network = ArcFace(session, pack.recognition.path, is_mirrored=pack.is_mirrored)
        self._batches = Batcher(self._network.embed, most=runtime.batch) if runtime.batch > 1 else None
        self.info = EngineInfo(
            pack=pack.name,
            digest=pack.digest,
            recognizer=pack.recognizer,
            embedding_size=pack.embedding_size,
            threshold=pack.threshold,
            threshold_source=pack.threshold_source,
            calibration=pack.calibration,
            license=pack.license,
            providers=tuple(session.get_providers()),
            precision=runtime.precision,
            detection_threshold=detection_threshold,
            knows_only_drawings=pack.knows_only_drawings,
            can_be_inherited=runtime.can_be_inherited,
        )

    def embed(self, crops: Sequence[Crop]) -> list[Embedding]:
        if self._batches is not None:
            return self._batches.run(crops)
        return [self._network.embed([crop])[0] for crop in crops]


def _fills(found: Found, input_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which faces take most of the input."""
    sides = np.maximum(found.boxes[:, 2] - found.boxes[:, 0], found.boxes[:, 3] - found.boxes[:, 1])
    return np.asarray(sides > _FILLS * max(input_size))


def _uncut(found: Found, tile: Pass, size: tuple[int, int], picture: tuple[int, int]) -> Found:
    """Without the faces that an inner edge of the tile may cut: the tile beyond it, or the whole, shows them whole."""
    left, top, right, bottom = tile.box
    x1, y1, x2, y2 = found.boxes.T
    is_whole = np.ones(len(found), dtype=bool)
    if left > 0:
        is_whole &= x1 > _EDGE
    if top > 0:
        is_whole &= y1 > _EDGE
    if right < picture[0]:
        is_whole &= x2 < size[0] - _EDGE
    if bottom < picture[1]:
        is_whole &= y2 < size[1] - _EDGE
    return found.only(is_whole)
