"""SCRFD on one onnxruntime session: a letterboxed input in, faces in its pixels out.

Decoding follows InsightFace's `model_zoo/scrfd.py` (Guo et al., "Sample and Computation Redistribution for Efficient
Face Detection"), with which a test compares it; only anchors above the threshold are decoded.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Found:
    """Faces before merging: boxes (n, 4) as corners, landmarks (n, 5, 2), scores (n,); float32, in pixels.

    Of two looks at one face the one with the lower rank is believed; ranks (n,) are nought until somebody sets them.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    ranks: NDArray[np.float32]

    def moved(self, scale: tuple[float, float], offset: tuple[float, float]) -> "Found":
        """In the coordinates of the picture that the input was taken from: x * scale + offset."""
        by, to = np.array(scale, np.float32), np.array(offset, np.float32)
        boxes = (self.boxes.reshape(-1, 2, 2) * by + to).reshape(-1, 4)
        return Found(boxes, self.landmarks * by + to, self.scores, self.ranks)

    def ranked(self, ranks: NDArray[np.float32]) -> "Found":
        """The same faces with other ranks."""
        return Found(self.boxes, self.landmarks, self.scores, ranks)

    def only(self, chosen: NDArray[Any]) -> "Found":
        """The faces at these places, or under this mask."""
        return Found(self.boxes[chosen], self.landmarks[chosen], self.scores[chosen], self.ranks[chosen])

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
            centres = _anchor_centres(height // stride, width // stride, stride)[places]
            distances = raw[level + 3].reshape(-1, 4)[places] * stride
            offsets = raw[level + 6].reshape(-1, 5, 2)[places] * stride
            boxes.append(np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1))
            landmarks.append(centres[:, None, :] + offsets)
            scores.append(level_scores[places])
        if not scores:
            return NOTHING
        surest = np.concatenate(scores)
        found = Found(np.concatenate(boxes), np.concatenate(landmarks), surest, np.zeros_like(surest))
        numbers = np.concatenate([found.boxes, found.landmarks.reshape(-1, 10)], axis=1)
        return found.only(np.isfinite(numbers).all(axis=1))


def merge(passes: list[Found]) -> Found:
    """One entry a face: lowest rank first, then surest; what overlaps it by more than `NMS_OVERLAP` is dropped."""
    boxes = np.concatenate([found.boxes for found in passes])
    landmarks = np.concatenate([found.landmarks for found in passes])
    scores = np.concatenate([found.scores for found in passes])
    ranks = np.concatenate([found.ranks for found in passes])
    order = np.lexsort((-scores, ranks))
    left, top, right, bottom = boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + 1
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = rest[shared <= NMS_OVERLAP * (areas[best] + areas[rest] - shared)]
    return Found(boxes[kept], landmarks[kept], scores[kept], ranks[kept])


_NONE = np.empty(0, np.float32)
NOTHING = Found(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), _NONE, _NONE)


@lru_cache(maxsize=64)
def _anchor_centres(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """(rows * columns * anchors, 2) x, y, in the order of the network's outputs."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    centres = np.stack([x, y], axis=-1).astype(np.float32).reshape(-1, 2) * stride
    return np.repeat(centres, _ANCHORS, axis=0)
