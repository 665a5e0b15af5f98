"""Implement the face engine: SCRFD of one InsightFace pack and ArcFace of one or several, on onnxruntime.

InsightFace's own classes are slower (they decode every anchor and align with scikit-image) and cost a second at start
and 34 MB per worker. The tests use them as the oracle.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding, FaceAttributes
from app.ml.alignment import estimate_alignment
from app.ml.arcface import ArcFace
from app.ml.attributes import AttributeNetwork
from app.ml.batching import Batcher
from app.ml.detail import SMALL_INPUT, Pass
from app.ml.engine import Detection, EngineInfo, ScoredEmbedding
from app.ml.face_quality.features import measure_crop
from app.ml.face_quality.model import assemble_inputs
from app.ml.pack_info import describe_pack
from app.ml.packs.pack import ModelPack
from app.ml.photo import Photo
from app.ml.pixels import CROP_SIDE, Crop
from app.ml.scrfd import DOUBT_SCORE, RawDetections, Scrfd, leaves_doubt, merge
from app.ml.sessions import Runtime
from app.ml.turns import view_upright
from app.telemetry import timed

_TILE_MARGIN = 4.0
"""A box within this many input pixels of a tile's inner edge may be cut off."""

_FILLING_SHARE = 0.6
"""A face larger than this share of the input's longer side is located better in a coarser pass."""

# Requests run in parallel: a picture on several cores would take them from other requests.
cv2.setNumThreads(1)


class InsightFaceEngine:
    """Detects with the main pack's SCRFD, embeds with its ArcFace and those of the other packs; thread-safe."""

    def __init__(
        self, pack: ModelPack, runtime: Runtime, *, others: Sequence[ModelPack] = (), detection_threshold: float = 0.5
    ) -> None:
        self._detection_threshold = detection_threshold
        self._detector = Scrfd(runtime.open(pack.detection))
        # Where each change of shape costs time, the small pass, which nearly every picture has, gets its own session.
        self._small_detector = Scrfd(runtime.open(pack.detection)) if runtime.is_slow_to_reshape else self._detector
        attributes = pack.attributes
        self._attributes = (
            AttributeNetwork(runtime.open_small(attributes), attributes.path) if attributes is not None else None
        )
        packs: dict[str, ModelPack] = {}
        for candidate in (pack, *others):
            packs.setdefault(candidate.recognizer, candidate)
        self._recognizers = {
            recognizer: _Recognizer(source, runtime, detection_threshold) for recognizer, source in packs.items()
        }
        self.info = self._recognizers[pack.recognizer].info

    @property
    def infos(self) -> dict[str, EngineInfo]:
        """Information by recognizer identity; the main pack's comes first."""
        return {identity: recognizer.info for identity, recognizer in self._recognizers.items()}

    def detect(self, photo: Photo, passes: Sequence[Pass]) -> list[Detection]:
        """Detect the faces that these passes show, largest first; raises `ImageTruncated`."""
        with timed("detect"):
            merged = merge(self._run_passes(photo, passes))
        found = [
            Detection((float(box[0]), float(box[1]), float(box[2]), float(box[3])), points, float(min(score, 1.0)))
            for box, points, score in zip(merged.boxes, merged.landmarks, merged.scores, strict=True)
        ]
        return sorted(found, key=lambda detection: detection.area, reverse=True)

    def align(self, photo: Photo, detection: Detection) -> Crop:
        """Warp a face to ArcFace's frame, (112, 112, 3) BGR, by the similarity transform that fits its landmarks."""
        with timed("align"):
            return photo.warp(estimate_alignment(detection.landmarks), CROP_SIDE)

    def estimate_attributes(self, photo: Photo, detections: Sequence[Detection]) -> list[FaceAttributes | None]:
        """Estimate age and gender by the main pack's network; None for all faces if it has none."""
        network = self._attributes
        if network is None:
            return [None] * len(detections)
        with timed("attributes"):
            return [network.estimate(*view_upright(photo, detection)) for detection in detections]

    def embed(self, crops: Sequence[Crop], recognizer: str | None = None) -> list[Embedding]:
        """Compute one unit-length embedding per crop, by the named recognizer or the main pack's."""
        with timed("embed"):
            return self._recognizers[recognizer or self.info.recognizer].embed(crops)

    def embed_scored(
        self, crops: Sequence[Crop], detection_scores: Sequence[float], recognizer: str | None = None
    ) -> list[ScoredEmbedding]:
        """Compute embeddings as `embed` does, each with its length and the face's quality score."""
        with timed("embed"):
            return self._recognizers[recognizer or self.info.recognizer].embed_scored(crops, detection_scores)

    def _run_passes(self, photo: Photo, passes: Sequence[Pass]) -> list[RawDetections]:
        """Run the passes, a second look only after doubts; returns detections with at least the threshold's score."""
        threshold = self._detection_threshold
        has_second_look = any(plan.is_second_look for plan in passes)
        found: list[RawDetections] = []
        is_doubtful = False
        for plan in passes:
            if not plan.is_second_look:
                raw = self._run_pass(photo, plan, min(threshold, DOUBT_SCORE) if has_second_look else threshold)
                is_certain = raw.scores >= threshold
                is_doubtful |= leaves_doubt(raw, is_certain)
                found.append(raw.select(is_certain) if has_second_look else raw)
            elif is_doubtful:
                found.append(self._run_pass(photo, plan, threshold))
        return found

    def _run_pass(self, photo: Photo, plan: Pass, threshold: float) -> RawDetections:
        """Run the detector once; boxes and landmarks are in pixels of the photo."""
        input_width, input_height = self._detector.fixed_input or plan.input_size
        left, top, right, bottom = plan.box
        ratio = min(input_width / (right - left), input_height / (bottom - top))
        width = min(input_width, max(1, round((right - left) * ratio)))
        height = min(input_height, max(1, round((bottom - top) * ratio)))
        letterboxed = photo.render(plan.box, width, height)
        if (width, height) != (input_width, input_height):
            rendered, letterboxed = letterboxed, np.zeros((input_height, input_width, 3), np.uint8)
            letterboxed[:height, :width] = rendered
        detector = self._small_detector if plan.input_size == SMALL_INPUT else self._detector
        found = detector.detect(letterboxed, threshold)
        if plan.is_tile:
            found = _drop_cut_faces(found, plan, (width, height), (photo.width, photo.height))
        fills_input = _mark_filling(found, (input_width, input_height))
        return found.place(((right - left) / width, (bottom - top) / height), (left, top), 1 / ratio, fills_input)


class _Recognizer:
    """ArcFace of one pack.

    A CPU runs one face at a time, since batches gain nothing there; a GPU runs the faces of concurrent requests in
    batches.
    """

    def __init__(self, pack: ModelPack, runtime: Runtime, detection_threshold: float) -> None:
        session = runtime.open(pack.recognition)
        self._network = ArcFace(session, pack.recognition.path, is_mirrored=pack.is_mirrored)
        embed = self._network.embed_with_lengths
        self._batcher = Batcher(embed, max_items=runtime.max_batch) if runtime.max_batch > 1 else None
        self._quality_model = pack.quality_model
        self.info = describe_pack(
            pack,
            providers=tuple(session.get_providers()),
            precision=runtime.precision,
            detection_threshold=detection_threshold,
            can_be_inherited=runtime.can_be_inherited,
        )

    def embed(self, crops: Sequence[Crop]) -> list[Embedding]:
        return [embedding for embedding, _ in self._embed_with_lengths(crops)]

    def embed_scored(self, crops: Sequence[Crop], detection_scores: Sequence[float]) -> list[ScoredEmbedding]:
        embedded = self._embed_with_lengths(crops)
        model = self._quality_model
        if model is None or not embedded:
            return [ScoredEmbedding(embedding, length, None) for embedding, length in embedded]
        inputs = [
            assemble_inputs(measure_crop(crop), score, embedding, length)
            for crop, score, (embedding, length) in zip(crops, detection_scores, embedded, strict=True)
        ]
        scores = model.score(np.stack(inputs)).tolist()
        return [
            ScoredEmbedding(embedding, length, score)
            for (embedding, length), score in zip(embedded, scores, strict=True)
        ]

    def _embed_with_lengths(self, crops: Sequence[Crop]) -> list[tuple[Embedding, float]]:
        if self._batcher is not None:
            return self._batcher.run(crops)
        return [self._network.embed_with_lengths([crop])[0] for crop in crops]


def _mark_filling(found: RawDetections, input_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the faces that take most of the input."""
    sides = np.maximum(found.boxes[:, 2] - found.boxes[:, 0], found.boxes[:, 3] - found.boxes[:, 1])
    return np.asarray(sides > _FILLING_SHARE * max(input_size))


def _drop_cut_faces(found: RawDetections, tile: Pass, size: tuple[int, int], picture: tuple[int, int]) -> RawDetections:
    """Drop faces that an inner edge of the tile may cut off: the next tile or the whole picture shows them complete.

    `size` is the tile's (width, height) in input pixels, `picture` the photo's in its own pixels.
    """
    left, top, right, bottom = tile.box
    x1, y1, x2, y2 = found.boxes.T
    is_complete = np.ones(len(found), dtype=bool)
    if left > 0:
        is_complete &= x1 > _TILE_MARGIN
    if top > 0:
        is_complete &= y1 > _TILE_MARGIN
    if right < picture[0]:
        is_complete &= x2 < size[0] - _TILE_MARGIN
    if bottom < picture[1]:
        is_complete &= y2 < size[1] - _TILE_MARGIN
    return found.select(is_complete)
