"""SCRFD on one onnxruntime session: a letterboxed input in, faces in its pixels out.

Decoding follows InsightFace's `model_zoo/scrfd.py` (Guo et al., "Sample and Computation Redistribution for Efficient
Face Detection"), with which a test compares it; only anchors above the threshold are decoded.
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
_MEAN, _SPREAD = 127.5, 128.0
NMS_OVERLAP = 0.4
_SAME_FACE = 0.5
"""Boxes that overlap so much are of one face, and say something of its landmarks."""
_MIN_GRAIN = 1e-3


@dataclass(frozen=True, slots=True)
class Found:
    """Faces before merging: boxes (n, 4) as corners, landmarks (n, 5, 2), scores (n,); float32, in pixels.

    `grain` (n,) is the size of an input pixel in the picture's, and `is_filling` (n,) marks faces that take most of the
    input, which a coarser look sees better; both are nought until somebody sets them.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    grain: NDArray[np.float32]
    is_filling: NDArray[np.bool_]

    def moved(self, scale: tuple[float, float], offset: tuple[float, float]) -> "Found":
        """In the coordinates of the picture that the input was taken from: x * scale + offset."""
        by, to = np.array(scale, np.float32), np.array(offset, np.float32)
        boxes = (self.boxes.reshape(-1, 2, 2) * by + to).reshape(-1, 4)
        return Found(boxes, self.landmarks * by + to, self.scores, self.grain, self.is_filling)

    def seen(self, grain: float, is_filling: NDArray[np.bool_]) -> "Found":
        """The same faces, as a look of that grain sees them."""
        return Found(self.boxes, self.landmarks, self.scores, np.full_like(self.scores, grain), is_filling)

    def only(self, chosen: NDArray[Any]) -> "Found":
        """The faces at these places, or under this mask."""
        columns = (self.boxes, self.landmarks, self.scores, self.grain, self.is_filling)
        return Found(*(column[chosen] for column in columns))

    def __len__(self) -> int:
        return len(self.scores)


class Scrfd:
    """The detector; thread-safe, since onnxruntime's sessions are."""

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
        """`(width, height)` of a network that takes nothing else."""

    def find(self, letterboxed: Pixels, threshold: float) -> Found:
        """All anchors at or above `threshold` of a BGR picture whose sides are multiples of 32; not merged yet."""
        height, width = letterboxed.shape[:2]
        blob = cv2.dnn.blobFromImage(letterboxed, 1 / _SPREAD, (width, height), (_MEAN, _MEAN, _MEAN), swapRB=True)
        raw = self._session.run(self._outputs, {self._input: blob})
        boxes, landmarks, scores = [], [], []
        for level, stride in enumerate(_STRIDES):
            level_scores = raw[level].reshape(-1)
            places = np.flatnonzero(level_scores >= threshold)
            if not len(places):
                continue
            centers = _anchor_centers(height // stride, width // stride, stride)[places]
            distances = raw[level + 3].reshape(-1, 4)[places] * stride
            offsets = raw[level + 6].reshape(-1, 5, 2)[places] * stride
            boxes.append(np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1))
            landmarks.append(centers[:, None, :] + offsets)
            scores.append(level_scores[places])
        if not scores:
            return NOTHING
        surest = np.concatenate(scores)
        nought, no = np.zeros_like(surest), np.zeros(len(surest), dtype=bool)
        found = Found(np.concatenate(boxes), np.concatenate(landmarks), surest, nought, no)
        numbers = np.concatenate([found.boxes, found.landmarks.reshape(-1, 10)], axis=1)
        return found.only(np.isfinite(numbers).all(axis=1))


def merge(passes: list[Found]) -> Found:
    """One entry a face: of the finest look that it does not fill, then the surest; the others of it are dropped.

    Its landmarks are the mean of all that is said of them, each by how sure it is and by the square of how fine it
    looks: an error of so many input pixels is so much smaller in the picture. An alignment is as good as they are.
    """
    names = ("boxes", "landmarks", "scores", "grain", "is_filling")
    found = Found(*(np.concatenate([getattr(one, name) for one in passes]) for name in names))
    order = np.lexsort((-found.scores, found.grain, found.is_filling))
    left, top, right, bottom = found.boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    weights = np.maximum(found.scores, _MIN_GRAIN) / np.maximum(found.grain, _MIN_GRAIN) ** 2
    kept, landmarks = [], []
    while order.size:
        best, rest = order[0], order[1:]
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + 1
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        together = areas[best] + areas[rest] - shared
        agrees = (shared >= _SAME_FACE * together) & (found.is_filling[rest] == found.is_filling[best])
        agreeing = np.concatenate([[best], rest[agrees]])
        kept.append(best)
        landmarks.append(np.average(found.landmarks[agreeing], axis=0, weights=weights[agreeing]))
        order = rest[shared <= NMS_OVERLAP * together]
    if not kept:
        return NOTHING
    chosen = found.only(np.array(kept))
    return replace(chosen, landmarks=np.stack(landmarks).astype(np.float32))


_NONE = np.empty(0, np.float32)
NOTHING = Found(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), _NONE, _NONE, np.empty(0, np.bool_))


@lru_cache(maxsize=64)
def _anchor_centers(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """(rows * columns * anchors, 2) x, y, in the order of the network's outputs."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    centers = np.stack([x, y], axis=-1).astype(np.float32).reshape(-1, 2) * stride
    return np.repeat(centers, _ANCHORS, axis=0)
