"""Link faces of following frames: a face goes on where it overlaps the last one and resembles it.

At two frames a second, people move too far for models of motion. Overlap alone exchanges people who cross, and
similarity alone links people who look alike: both together decide, for all faces of a frame at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding, RelativeBox
from app.domain.videos import Interval, SeenFace

_MAX_GAP_MS = 2_500
"""Somebody who was not seen for so long begins a new tracklet."""
_MIN_COSINE = 0.2
"""Less similar faces are never linked, however they overlap."""
_SURE_COSINE = 0.55
"""Faces this similar are linked, wherever they are."""
_OVERLAP_WEIGHT = 0.4
_MIN_SCORE = 0.3
_IMPOSSIBLE = 1e6


@dataclass(slots=True, eq=False)
class Tracklet:
    """A face in following frames, oldest first."""

    faces: list[SeenFace] = field(default_factory=list)
    _best: int = 0

    def add(self, face: SeenFace) -> None:
        """Add the face of the next frame; only the best face keeps its picture."""
        best = self._best
        if rate(face) > rate(self.faces[best]):
            self.faces[best] = replace(self.faces[best], picture=None)
            self._best = len(self.faces)
        else:
            face = replace(face, picture=None)
        self.faces.append(face)

    @property
    def last(self) -> SeenFace:
        return self.faces[-1]

    @property
    def interval(self) -> Interval:
        return Interval(self.faces[0].at_ms, self.faces[-1].at_ms)

    @property
    def best(self) -> SeenFace:
        """The face that shows the person best."""
        return self.faces[self._best]


class TrackletLinker:
    """Links the faces of frames that come in order; `recognizer` names the embeddings that are compared."""

    def __init__(self, recognizer: str) -> None:
        self._recognizer = recognizer
        self._open: list[Tracklet] = []
        self._ended: list[Tracklet] = []

    def add(self, at_ms: int, faces: Sequence[SeenFace]) -> None:
        """Add the faces of the next frame."""
        going = [one for one in self._open if at_ms - one.last.at_ms <= _MAX_GAP_MS]
        self._ended += [one for one in self._open if at_ms - one.last.at_ms > _MAX_GAP_MS]
        linked = set[int]()
        if going and faces:
            scores = self._score(going, faces)
            for row, column in _assign(scores):
                if scores[row, column] >= _MIN_SCORE:
                    going[row].add(faces[column])
                    linked.add(int(column))
        going += [Tracklet([face]) for place, face in enumerate(faces) if place not in linked]
        self._open = going

    def finish(self) -> list[Tracklet]:
        """Return all tracklets, in the order of their first frame."""
        return sorted([*self._ended, *self._open], key=lambda one: one.faces[0].at_ms)

    def _score(self, tracklets: Sequence[Tracklet], faces: Sequence[SeenFace]) -> NDArray[np.float64]:
        """Return (tracklets, faces): how well each face goes on with each tracklet."""
        before = np.stack([self._embedding(one.last) for one in tracklets])
        now = np.stack([self._embedding(face) for face in faces])
        cosines = before @ now.T
        overlaps = np.array([[_overlap(one.last.box, face.box) for face in faces] for one in tracklets])
        scores = (1 - _OVERLAP_WEIGHT) * cosines + _OVERLAP_WEIGHT * overlaps
        scores = np.where(cosines >= _SURE_COSINE, np.maximum(scores, cosines), scores)
        return np.where(cosines < _MIN_COSINE, -_IMPOSSIBLE, scores).astype(np.float64)

    def _embedding(self, face: SeenFace) -> Embedding:
        return face.embeddings[self._recognizer]


def _assign(scores: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return pairs of a row and a column with the highest sum of scores, each row and column once."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - of the extra `video`

    rows, columns = linear_sum_assignment(scores, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def rate(face: SeenFace) -> tuple[bool, float]:
    """Order faces by how well they show somebody: reliable ones first, then by quality and size."""
    score = face.quality.get("score", face.detection_score)
    return face.is_reliable, score * face.box.area**0.25


def choose_diverse(faces: Iterable[SeenFace], recognizer: str, limit: int) -> list[SeenFace]:
    """Choose up to `limit` faces that show a person well and differ most; reliable ones only, if there are any.

    The first is the best; each next one is the least similar to those chosen, among the better half.
    """
    ranked = sorted(faces, key=rate, reverse=True)
    ranked = [face for face in ranked if face.is_reliable] or ranked
    pool = ranked[: max(limit, (len(ranked) + 1) // 2)]
    chosen = pool[:1]
    while len(chosen) < min(limit, len(pool)):
        rest = [face for face in pool if not any(face is one for one in chosen)]
        matrix = (
            np.stack([face.embeddings[recognizer] for face in rest])
            @ np.stack([face.embeddings[recognizer] for face in chosen]).T
        )
        chosen.append(rest[int(np.argmin(matrix.max(axis=1)))])
    return chosen


def _overlap(box: RelativeBox, other: RelativeBox) -> float:
    """Return the intersection over the union of two boxes, 0..1."""
    shared = box.shared_area(other)
    union = box.area + other.area - shared
    return shared / union if union > 0 else 0.0
