"""Find the faces of photos that lie on their side or upside down, without an EXIF orientation that says so.

SCRFD finds such faces with low scores, takes the mouth for the eyes if they are upside down, and misses some. So where
no face looks upright, the photo is also searched in the other three turns.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Detail
from app.ml.detail import plan_passes
from app.ml.engine import Detection, FaceEngine
from app.ml.photo import Photo

TURNS = (90, 180, 270)
"""Degrees clockwise."""

UPRIGHT_SCORE = 0.7
"""98% of LFW's faces have at least this detection score; of those turned by 180 degrees, 8%."""

SURELY_UPRIGHT_SCORE = 0.8
"""No face of LFW turned by 180 degrees has a higher detection score; two thirds of the upright ones have."""

SURELY_UPRIGHT_QUALITY = 15.0
"""Of LFW's faces turned by 180 degrees, 1.4% have at least this quality score and are not looked at again."""

_MAX_ROLL_DEG = 45.0


def may_be_upright(engine: FaceEngine, detections: Sequence[Detection]) -> bool:
    """Return whether a photo with these detections need not be searched in other turns before a face is embedded.

    Where the recognizer has a quality model, the quality score tells upside-down faces better than a low detection
    score, which upright faces may have as well.
    """
    if engine.info.rates_quality:
        return any(_stands(detection) for detection in detections)
    return _shows_upright_face(engine, detections)


def _shows_upright_face(engine: FaceEngine, detections: Sequence[Detection]) -> bool:
    """Whether at least one face was found with a high score and with its eyes above its mouth."""
    # The detector of drawings scores plain ones low; it finds nothing at all in turned ones.
    min_score = engine.info.detection_threshold if engine.info.knows_only_drawings else UPRIGHT_SCORE
    return any(detection.score >= min_score and _stands(detection) for detection in detections)


def detect_turned(
    engine: FaceEngine, photo: Photo, detail: Detail, min_face_pixels: float, detections: list[Detection]
) -> list[Detection]:
    """Search the photo in the other three turns; return the faces of the best one, or `detections` if none is better.

    `detections` are the faces of the photo as it is. If there are none, each turn is first searched at the least
    detail, so that photos without people stay cheap. Boxes and landmarks are in pixels of the photo as it is.
    """
    glance = Detail.FAST if not detections else min(detail, Detail.STANDARD, key=list(Detail).index)
    best, found, weight = 0, detections, _weigh(detections)
    for turn in TURNS:
        view = photo.turn(turn)
        glanced = engine.detect(view, plan_passes(view.width, view.height, glance, min_face_pixels))
        if _shows_upright_face(engine, glanced) and _weigh(glanced) > weight:
            best, found, weight = turn, glanced, _weigh(glanced)
    if best == 0:
        return detections
    if glance is not detail:
        view = photo.turn(best)
        found = engine.detect(view, plan_passes(view.width, view.height, detail, min_face_pixels))
    return [_turn_back(detection, best, photo) for detection in found]


def view_upright(photo: Photo, detection: Detection) -> tuple[Photo, tuple[float, float, float, float]]:
    """Return the photo in the turn in which the face was found, and the face's corners there."""
    if detection.rotation == 0:
        return photo, detection.corners
    view = photo.turn(detection.rotation)
    x1, y1, x2, y2 = detection.corners
    # Turning on to a full circle leads from the photo back to the view.
    corners = _points_back(np.array([[x1, y1], [x2, y2]]), 360 - detection.rotation, view.width, view.height)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return view, (left, top, right, bottom)


def _stands(detection: Detection) -> bool:
    return abs(_measure_roll(detection)) <= _MAX_ROLL_DEG


def _measure_roll(detection: Detection) -> float:
    """The tilt of the line from between the eyes to between the mouth's corners; 0 degrees is straight down."""
    eyes, mouth = detection.landmarks[:2].mean(axis=0), detection.landmarks[3:].mean(axis=0)
    right, down = mouth - eyes
    return math.degrees(math.atan2(right, down))


def _weigh(detections: Sequence[Detection]) -> float:
    """How much the detections together speak for faces: the sum of their scores."""
    return sum(detection.score for detection in detections)


def _turn_back(detection: Detection, turn: int, photo: Photo) -> Detection:
    """Convert a detection in `photo.turn(turn)` to pixels of `photo`."""
    x1, y1, x2, y2 = detection.corners
    corners = _points_back(np.array([[x1, y1], [x2, y2]]), turn, photo.width, photo.height)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    # Landmarks count from the centers of pixels, boxes from their edges.
    landmarks = _points_back(detection.landmarks, turn, photo.width - 1, photo.height - 1)
    return replace(
        detection,
        corners=(float(left), float(top), float(right), float(bottom)),
        landmarks=landmarks.astype(np.float32),
        rotation=turn,
    )


def _points_back(points: NDArray[np.floating], turn: int, width: float, height: float) -> NDArray[np.floating]:
    x, y = points.T
    if turn == 90:
        return np.column_stack([y, height - x])
    if turn == 180:
        return np.column_stack([width - x, height - y])
    return np.column_stack([width - y, x])
