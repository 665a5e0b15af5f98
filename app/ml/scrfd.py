"""Run the SCRFD detector on one onnxruntime session: a letterboxed input in, faces in its pixels out.

Decoding follows InsightFace's `model_zoo/scrfd.py` (Guo et al., "Sample and Computation Redistribution for Efficient
Face Detection"), and a test compares the two. Only anchors at or above the threshold are decoded.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelPackRefused
from app.ml.network_input import NetworkInput
from app.ml.pixels import Pixels

_STRIDES = (8, 16, 32)
_ANCHORS = 2
_MEAN, _DEVIATION = 127.5, 128.0
NMS_OVERLAP = 0.4
"""Boxes with a larger intersection over union are duplicates: non-maximum suppression keeps the best one."""
_SAME_FACE = 0.5
"""From this intersection over union on, a duplicate's landmarks count toward the mean."""
_EPSILON = 1e-3

DOUBT_SCORE = 0.12
"""Faces that only a second look finds leave detections with at least this score in the first pass: all 59 of LFW."""


@dataclass(frozen=True, slots=True)
class RawDetections:
    """Detections before merging: boxes (n, 4) as corners, landmarks (n, 5, 2), scores (n,); float32, in pixels.

    `pixel_size` (n,) is the side of a pixel of the detector's input, in pixels of the picture. `fills_input` (n,) marks
    faces that take most of the input; a coarser pass locates them better. Both are zero until `place`.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    pixel_size: NDArray[np.float32]
    fills_input: NDArray[np.bool_]

    def place(
        self, scale: tuple[float, float], offset: tuple[float, float], pixel_size: float, fills_input: NDArray[np.bool_]
    ) -> "RawDetections":
        """Return the same detections at `x * scale + offset`: in pixels of the picture instead of the input."""
        factors, shift = np.array(scale, np.float32), np.array(offset, np.float32)
        boxes = (self.boxes.reshape(-1, 2, 2) * factors + shift).reshape(-1, 4)
        sizes = np.full_like(self.scores, pixel_size)
        return RawDetections(boxes, self.landmarks * factors + shift, self.scores, sizes, fills_input)

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
        self._converter = NetworkInput(_MEAN, _DEVIATION)
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
        raw = self._session.run(self._outputs, {self._input: self._converter.convert(letterboxed)})
        levels = len(_STRIDES)
        scores = np.concatenate([output.reshape(-1) for output in raw[:levels]])
        hits = np.flatnonzero(scores >= threshold)
        if not len(hits):
            return NO_DETECTIONS
        every_center, every_stride = _list_anchors(width, height)
        centers, strides = every_center[hits], every_stride[hits]
        distances = np.concatenate([output.reshape(-1, 4) for output in raw[levels : 2 * levels]])[hits] * strides
        offsets = np.concatenate([output.reshape(-1, 10) for output in raw[2 * levels :]])[hits] * strides
        boxes = np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1)
        landmarks = centers[:, None, :] + offsets.reshape(-1, 5, 2)
        zeros, falses = np.zeros(len(hits), np.float32), np.zeros(len(hits), dtype=bool)
        found = RawDetections(boxes, landmarks, scores[hits], zeros, falses)
        if np.isfinite(boxes.sum() + landmarks.sum()):
            return found
        return found.select(np.isfinite(boxes).all(axis=1) & np.isfinite(landmarks).all(axis=(1, 2)))


def leaves_doubt(found: RawDetections, is_certain: NDArray[np.bool_]) -> bool:
    """Tell whether a pass may have missed a face or located one badly, so that a second look is worth its time.

    `found` are the detections with at least `DOUBT_SCORE`, of which `is_certain` marks those with the threshold's
    score. A pass leaves doubts if no face is certain, if one fills the input, or if an uncertain one is elsewhere.
    """
    certain, uncertain = found.boxes[is_certain], found.boxes[~is_certain]
    if not len(certain) or found.fills_input[is_certain].any():
        return True
    if not len(uncertain):
        return False
    x1, y1, x2, y2 = uncertain.T[:, :, None]
    left, top, right, bottom = certain.T[:, None, :]
    width, height = np.minimum(right, x2) - np.maximum(left, x1), np.minimum(bottom, y2) - np.maximum(top, y1)
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    union = (right - left) * (bottom - top) + (x2 - x1) * (y2 - y1) - intersection
    return not bool((intersection > NMS_OVERLAP * union).any(axis=1).all())


def merge(passes: list[RawDetections]) -> RawDetections:
    """Merge the detections of all passes into one per face, by non-maximum suppression.

    The box comes from the finest pass whose input the face does not fill, then from the highest score. The landmarks
    are the mean over the face's detections, weighted by score and by the inverse square of `pixel_size`: an error of
    one input pixel is smaller in a finer pass. The quality of the alignment depends on them.
    """
    found = _concatenate(passes)
    order = np.lexsort((-found.scores, found.pixel_size, found.fills_input))
    left, top, right, bottom = found.boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    weights = np.maximum(found.scores, _EPSILON) / np.maximum(found.pixel_size, _EPSILON) ** 2
    points = found.landmarks.reshape(-1, 10)
    kept, landmarks = [], []
    while order.size:
        best = order[0]
        width = np.minimum(right[best], right[order]) - np.maximum(left[best], left[order]) + 1
        height = np.minimum(bottom[best], bottom[order]) - np.maximum(top[best], top[order]) + 1
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[best] + areas[order] - intersection
        agrees = (intersection >= _SAME_FACE * union) & (found.fills_input[order] == found.fills_input[best])
        agrees[0] = True
        agreeing = order[agrees]
        shares = weights[agreeing] / weights[agreeing].sum()
        kept.append(best)
        landmarks.append(shares @ points[agreeing])
        is_other = intersection <= NMS_OVERLAP * union
        is_other[0] = False
        order = order[is_other]
    if not kept:
        return NO_DETECTIONS
    return replace(found.select(np.array(kept)), landmarks=np.stack(landmarks).reshape(-1, 5, 2).astype(np.float32))


def _concatenate(passes: list[RawDetections]) -> RawDetections:
    if len(passes) == 1:
        return passes[0]
    names = ("boxes", "landmarks", "scores", "pixel_size", "fills_input")
    return RawDetections(*(np.concatenate([getattr(detections, name) for detections in passes]) for name in names))


_NONE = np.empty(0, np.float32)
NO_DETECTIONS = RawDetections(
    np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), _NONE, _NONE, np.empty(0, np.bool_)
)


@lru_cache(maxsize=64)
def _list_anchors(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x, y of all anchors in input pixels, (n, 2), and their strides, (n, 1), in the order of the outputs."""
    centers, strides = [], []
    for stride in _STRIDES:
        x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        level = np.stack([x, y], axis=-1).astype(np.float32).reshape(-1, 2) * stride
        centers.append(np.repeat(level, _ANCHORS, axis=0))
        strides.append(np.full((len(centers[-1]), 1), stride, np.float32))
    return np.concatenate(centers), np.concatenate(strides)
