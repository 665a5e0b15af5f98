"""Run the SCRFD detector on one onnxruntime session: a letterboxed input in, faces in its pixels out.

Decoding follows InsightFace's `model_zoo/scrfd.py` (Guo et al., "Sample and Computation Redistribution for Efficient
Face Detection"), and a test compares the two. Only anchors at or above the threshold are decoded.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import ModelPackRefused
from app.ml.pixels import Pixels

_STRIDES = (8, 16, 32)
_ANCHORS = 2
_MEAN, _DEVIATION = 127.5, 128.0
NMS_OVERLAP = 0.4
"""Boxes with a larger intersection over union are duplicates: non-maximum suppression keeps the best one."""
_SAME_FACE = 0.5
"""From this intersection over union on, a duplicate's landmarks count toward the mean."""
_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class RawDetections:
    """Detections before merging: boxes (n, 4) as corners, landmarks (n, 5, 2), scores (n,); float32, in pixels.

    `pixel_size` (n,) is the side of a pixel of the detector's input, in pixels of the picture. `fills_input` (n,) marks
    faces that take most of the input; a coarser pass locates them better. Both are zero until `with_view`.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    pixel_size: NDArray[np.float32]
    fills_input: NDArray[np.bool_]

    def transform(self, scale: tuple[float, float], offset: tuple[float, float]) -> "RawDetections":
        """Return the same detections at `x * scale + offset`: in pixels of the picture instead of the input."""
        factors, shift = np.array(scale, np.float32), np.array(offset, np.float32)
        boxes = (self.boxes.reshape(-1, 2, 2) * factors + shift).reshape(-1, 4)
        return replace(self, boxes=boxes, landmarks=self.landmarks * factors + shift)

    def with_view(self, pixel_size: float, fills_input: NDArray[np.bool_]) -> "RawDetections":
        """Return the same detections with their `pixel_size` and `fills_input`."""
        return replace(self, pixel_size=np.full_like(self.scores, pixel_size), fills_input=fills_input)

    def select(self, index: NDArray[Any]) -> "RawDetections":
        """Return the detections at these positions or under this mask."""
        columns = (self.boxes, self.landmarks, self.scores, self.pixel_size, self.fills_input)
        return RawDetections(*(column[index] for column in columns))

    def __len__(self) -> int:
        return len(self.scores)


class Scrfd:
    """Detects faces in one input; thread-safe, since onnxruntime's sessions are."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        outputs = session.get_outputs()
        if len(outputs) != 3 * len(_STRIDES):
            raise ModelPackRefused(f"The detection network has {len(outputs)} outputs; SCRFD with landmarks has 9.")
        self._outputs = [output.name for output in outputs]
        height, width = session.get_inputs()[0].shape[2:4]
        self.fixed_input: tuple[int, int] | None = (
            (width, height) if isinstance(height, int) and isinstance(width, int) else None
        )
        """`(width, height)` of a network that accepts only this size; None if it accepts any multiple of 32."""

    def detect(self, letterboxed: Pixels, threshold: float) -> RawDetections:
        """Return all anchors with a score of at least `threshold`, unmerged.

        `letterboxed` is BGR; both sides are multiples of 32.
        """
        height, width = letterboxed.shape[:2]
        blob = cv2.dnn.blobFromImage(letterboxed, 1 / _DEVIATION, (width, height), (_MEAN, _MEAN, _MEAN), swapRB=True)
        raw = self._session.run(self._outputs, {self._input: blob})
        boxes, landmarks, scores = [], [], []
        for level, stride in enumerate(_STRIDES):
            level_scores = raw[level].reshape(-1)
            hits = np.flatnonzero(level_scores >= threshold)
            if not len(hits):
                continue
            centers = _anchor_centers(height // stride, width // stride, stride)[hits]
            distances = raw[level + 3].reshape(-1, 4)[hits] * stride
            offsets = raw[level + 6].reshape(-1, 5, 2)[hits] * stride
            boxes.append(np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1))
            landmarks.append(centers[:, None, :] + offsets)
            scores.append(level_scores[hits])
        if not scores:
            return NO_DETECTIONS
        all_scores = np.concatenate(scores)
        zeros, falses = np.zeros_like(all_scores), np.zeros(len(all_scores), dtype=bool)
        found = RawDetections(np.concatenate(boxes), np.concatenate(landmarks), all_scores, zeros, falses)
        coordinates = np.concatenate([found.boxes, found.landmarks.reshape(-1, 10)], axis=1)
        return found.select(np.isfinite(coordinates).all(axis=1))


def merge(passes: list[RawDetections]) -> RawDetections:
    """Merge the detections of all passes into one per face, by non-maximum suppression.

    The box comes from the finest pass whose input the face does not fill, then from the highest score. The landmarks
    are the mean over the face's detections, weighted by score and by the inverse square of `pixel_size`: an error of
    one input pixel is smaller in a finer pass. The quality of the alignment depends on them.
    """
    names = ("boxes", "landmarks", "scores", "pixel_size", "fills_input")
    found = RawDetections(*(np.concatenate([getattr(detections, name) for detections in passes]) for name in names))
    order = np.lexsort((-found.scores, found.pixel_size, found.fills_input))
    left, top, right, bottom = found.boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    weights = np.maximum(found.scores, _EPSILON) / np.maximum(found.pixel_size, _EPSILON) ** 2
    kept, landmarks = [], []
    while order.size:
        best, rest = order[0], order[1:]
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + 1
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + 1
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[best] + areas[rest] - intersection
        agrees = (intersection >= _SAME_FACE * union) & (found.fills_input[rest] == found.fills_input[best])
        agreeing = np.concatenate([[best], rest[agrees]])
        kept.append(best)
        landmarks.append(np.average(found.landmarks[agreeing], axis=0, weights=weights[agreeing]))
        order = rest[intersection <= NMS_OVERLAP * union]
    if not kept:
        return NO_DETECTIONS
    return replace(found.select(np.array(kept)), landmarks=np.stack(landmarks).astype(np.float32))


_NONE = np.empty(0, np.float32)
NO_DETECTIONS = RawDetections(
    np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), _NONE, _NONE, np.empty(0, np.bool_)
)


@lru_cache(maxsize=64)
def _anchor_centers(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """Return x, y of all anchors in input pixels, (rows * columns * anchors, 2), in the order of the outputs."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    centers = np.stack([x, y], axis=-1).astype(np.float32).reshape(-1, 2) * stride
    return np.repeat(centers, _ANCHORS, axis=0)
