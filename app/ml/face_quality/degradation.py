"""Degrade photos at random, in the ways that photos go wrong: blur, motion, noise, compression, light, cover.

A quality model is fitted to tell such faces from undamaged ones. Strengths are drawn over ranges in which strangers'
faces measurably begin to resemble each other (`benchmarks.degraded`).
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from app.ml.pixels import Pixels

Landmarks = NDArray[np.float32]
"""(5, 2): eyes, nose, mouth corners, in pixels."""


def degrade(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    """Return a copy of a BGR uint8 picture with one random degradation of the face at these landmarks."""
    return _KINDS[int(rng.integers(len(_KINDS)))](picture.copy(), landmarks, rng)


def _blur(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    sigma = _eye_distance(landmarks) * float(rng.uniform(0.045, 0.17))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.uint8)


def _motion(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    length = max(3, round(_eye_distance(landmarks) * float(rng.uniform(0.22, 0.85))))
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), float(rng.uniform(0, 180)), 1)
    kernel = np.asarray(cv2.warpAffine(line, turn, (length, length)), dtype=np.float32)
    return np.asarray(cv2.filter2D(picture, -1, kernel / max(float(kernel.sum()), 1e-6)), dtype=np.uint8)


def _enlarge(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    """As if the face had been a few pixels wide (7 to 22; a face is 2.3 times as wide as its eyes are apart)."""
    scale = float(rng.uniform(7, 22)) / (2.3 * _eye_distance(landmarks))
    size = (max(4, round(picture.shape[1] * scale)), max(4, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    way: int = cv2.INTER_CUBIC if rng.random() < 0.8 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(small, (picture.shape[1], picture.shape[0]), interpolation=way), dtype=np.uint8)


def _noise(picture: Pixels, _: Landmarks, rng: np.random.Generator) -> Pixels:
    noise = rng.normal(0, float(rng.uniform(25, 90)), picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), dtype=np.uint8)


def _compress(picture: Pixels, _: Landmarks, rng: np.random.Generator) -> Pixels:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(1, 6))])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def _invert(picture: Pixels, _: Landmarks, rng: np.random.Generator) -> Pixels:
    return np.asarray(255 - picture, dtype=np.uint8)


def _darken(picture: Pixels, _: Landmarks, rng: np.random.Generator) -> Pixels:
    return np.asarray(picture * float(rng.uniform(0.04, 0.12)), dtype=np.uint8)


def _overexpose(picture: Pixels, _: Landmarks, rng: np.random.Generator) -> Pixels:
    brightened = picture.astype(np.float32) * float(rng.uniform(2, 6)) + float(rng.uniform(20, 120))
    return np.asarray(np.clip(brightened, 0, 255), dtype=np.uint8)


def _turn_upside_down(picture: Pixels, _: Landmarks, rng: np.random.Generator) -> Pixels:
    return np.asarray(cv2.rotate(picture, cv2.ROTATE_180), dtype=np.uint8)


def _cover_eyes(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    eyes, distance = (landmarks[0] + landmarks[1]) / 2, _eye_distance(landmarks)
    half = distance * np.array([rng.uniform(0.75, 1.3), rng.uniform(0.2, 0.45)])
    return _fill(picture, eyes - half, eyes + half, rng)


def _cover_mouth(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    mouth, nose, distance = (landmarks[3] + landmarks[4]) / 2, landmarks[2], _eye_distance(landmarks)
    width = distance * rng.uniform(0.7, 1.2)
    top = nose[1] + distance * rng.uniform(-0.25, 0.2)
    bottom = mouth[1] + distance * rng.uniform(0.5, 1.2)
    return _fill(picture, np.array([mouth[0] - width, top]), np.array([mouth[0] + width, bottom]), rng)


def _cover_half(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    height, width = picture.shape[:2]
    edge = landmarks[2][0] + _eye_distance(landmarks) * rng.uniform(-0.15, 0.25) * (1 if rng.random() < 0.5 else -1)
    left, right = (edge, width) if rng.random() < 0.5 else (0, edge)
    return _fill(picture, np.array([left, 0]), np.array([right, height]), rng)


def _cover_below(picture: Pixels, landmarks: Landmarks, rng: np.random.Generator) -> Pixels:
    height, width = picture.shape[:2]
    edge = landmarks[2][1] + _eye_distance(landmarks) * rng.uniform(-0.2, 0.1)
    return _fill(picture, np.array([0, edge]), np.array([width, height]), rng)


def _fill(
    picture: Pixels, corner: NDArray[np.floating], opposite: NDArray[np.floating], rng: np.random.Generator
) -> Pixels:
    """Fill a rectangle with one color: any, a gray, or nearly black as sunglasses are."""
    kind = rng.random()
    color = rng.integers(0, 256, 3) if kind < 0.4 else np.repeat(rng.integers(0, 256 if kind < 0.7 else 40), 3)
    (x1, y1), (x2, y2) = corner.astype(int), opposite.astype(int)
    picture[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = color
    return picture


def _eye_distance(landmarks: Landmarks) -> float:
    return max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 4.0)


_Kind = Callable[[Pixels, Landmarks, np.random.Generator], Pixels]
# Kinds named twice are drawn twice as often: they vary more, or are harder to tell from undamaged faces.
_KINDS: tuple[_Kind, ...] = (
    _blur, _blur, _motion, _motion, _enlarge, _enlarge, _noise, _compress, _invert, _invert, _darken,
    _overexpose, _overexpose, _turn_upside_down, _cover_eyes, _cover_eyes, _cover_mouth, _cover_mouth,
    _cover_half, _cover_half, _cover_below,
)  # fmt: skip
