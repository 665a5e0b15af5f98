"""Measure a face's quality and list the reasons against registering it."""

import math
from dataclasses import dataclass, replace
from operator import gt, lt

import cv2
import numpy as np

from app.domain.faces import RELIABLE_FROM, Face, Quality, QualityBar, QualityFinding, QualityReason, is_reliable
from app.ml.engine import Detection, ScoredEmbedding
from app.ml.pixels import Crop


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Limits of an acceptable face, inclusive; see `assess_quality` for the units."""

    min_face_pixels: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw_deg: float
    max_pitch_deg: float
    min_visible_share: float


@dataclass(frozen=True, slots=True)
class _Strictness:
    """How strict a bar is relative to `AUTO`: 2 is twice as strict."""

    size: float
    pose: float
    other: float


# Size and pose rise less than sharpness and light: at twice the strictness, a head turned by 23 degrees would fail.
_BARS = {
    QualityBar.LOW: _Strictness(size=0.5, pose=0.5, other=0.5),
    QualityBar.MEDIUM: _Strictness(size=1.25, pose=1.2, other=1.5),
    QualityBar.HIGH: _Strictness(size=1.5, pose=1.4, other=2.0),
}
_MIN_SCORE = {QualityBar.HIGH: 0.7}

# Rows and columns of the aligned 112x112 crop from eyes to chin, without hair and background.
_FACE_CENTER = (slice(32, 104), slice(28, 84))

# The five landmarks of an average head in millimeters: x right, y down, z away from the camera, origin at the nose
# (eyes 63 mm apart; depths from the 68-point mean shape that ships with 3DDFA).
_HEAD = np.array([[-31.5, -34, 28], [31.5, -34, 28], [0, 0, 0], [-25, 33, 24], [25, 33, 24]], dtype=np.float64)
_FIT_HEAD = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0))
"""Fits the head to landmarks by least squares, (3, 5); constant offsets of the landmarks do not matter."""


def assess_quality(detection: Detection, crop: Crop, image_size: tuple[int, int], limits: QualityLimits) -> Quality:
    """Measure one face of an image of `(width, height)` pixels and compare it with the limits.

    `face_pixels` is the shorter side of its box. The center of the crop gives `brightness`, its mean gray level
    (0..255), and `sharpness`: the variance of the Laplacian at a standardized contrast, see `measure_sharpness`. Yaw,
    pitch and roll are in degrees, from the landmarks; a positive roll is clockwise in the picture. `visible_share` is
    the part of the box that lies within the image.
    """
    x1, y1, x2, y2 = detection.corners
    face_pixels = max(0.0, min(x2 - x1, y2 - y1))
    gray = cv2.cvtColor(crop[_FACE_CENTER], cv2.COLOR_BGR2GRAY)
    brightness = cv2.mean(gray)[0]
    sharpness = measure_sharpness(gray)
    yaw, pitch, roll = estimate_pose(detection.landmarks)
    visible_share = _measure_visible_share(detection, image_size)
    measured = Quality(face_pixels, sharpness, brightness, yaw, pitch, roll, visible_share)
    return apply_limits(measured, limits)


def apply_limits(measured: Quality, limits: QualityLimits) -> Quality:
    """Return the measurements with the reasons why they fail these limits."""
    return replace(measured, findings=tuple(_find_faults(measured, limits)))


def _measure_visible_share(detection: Detection, image_size: tuple[int, int]) -> float:
    """A box without an area counts as outside."""
    x1, y1, x2, y2 = detection.corners
    width = max(0.0, min(x2, image_size[0]) - max(x1, 0.0))
    height = max(0.0, min(y2, image_size[1]) - max(y1, 0.0))
    return width * height / detection.area if detection.area > 0 else 0.0


def rate_face(face: Face, embedded: ScoredEmbedding) -> Face:
    """Add the quality score to a face, and a finding if the score is below the bar."""
    score = embedded.quality_score
    quality = replace(face.quality, score=score, embedding_length=embedded.length)
    return replace(face, quality=replace(quality, findings=(*quality.findings, *_find_unreliable(score))))


def _find_unreliable(score: float | None) -> tuple[QualityFinding, ...]:
    """The finding of a score below the bar; an unknown score is no finding."""
    return (
        () if score is None or is_reliable(score) else (QualityFinding(QualityReason.UNRELIABLE, score, RELIABLE_FROM),)
    )


def judge_face(face: Face, bar: QualityBar, limits: QualityLimits) -> tuple[QualityFinding, ...]:
    """List the reasons why a face fails the quality bar; `limits` are those of `AUTO`. Empty if it passes."""
    if bar is QualityBar.NONE:
        return ()
    if bar is QualityBar.AUTO:
        return face.quality.findings
    findings = _find_faults(face.quality, _scale_limits(limits, _BARS[bar]))
    min_score = _MIN_SCORE.get(bar, 0.0)
    if face.detection_score < min_score:
        findings.append(QualityFinding(QualityReason.UNCERTAIN, face.detection_score, min_score))
    return (*findings, *_find_unreliable(face.quality.score))


def _find_faults(quality: Quality, limits: QualityLimits) -> list[QualityFinding]:
    yaw, pitch = abs(quality.yaw_deg), abs(quality.pitch_deg)
    checks = (
        (QualityReason.TOO_SMALL, quality.face_pixels, lt, limits.min_face_pixels),
        (QualityReason.TOO_DARK, quality.brightness, lt, limits.min_brightness),
        (QualityReason.TOO_BRIGHT, quality.brightness, gt, limits.max_brightness),
        (QualityReason.TURNED_AWAY, yaw, gt, limits.max_yaw_deg),
        (QualityReason.TURNED_AWAY, pitch, gt, limits.max_pitch_deg),
        (QualityReason.CUT_OFF, quality.visible_share, lt, limits.min_visible_share),
        (QualityReason.BLURRED, quality.sharpness, lt, limits.min_sharpness),
    )
    return [QualityFinding(reason, value, limit) for reason, value, violates, limit in checks if violates(value, limit)]


def _scale_limits(limits: QualityLimits, strictness: _Strictness) -> QualityLimits:
    return QualityLimits(
        min_face_pixels=limits.min_face_pixels * strictness.size,
        min_sharpness=limits.min_sharpness * strictness.other,
        min_brightness=limits.min_brightness * strictness.other,
        max_brightness=255 - (255 - limits.max_brightness) * strictness.other,
        max_yaw_deg=min(90.0, limits.max_yaw_deg / strictness.pose),
        max_pitch_deg=min(90.0, limits.max_pitch_deg / strictness.pose),
        min_visible_share=1 - (1 - limits.min_visible_share) / strictness.other,
    )


def measure_sharpness(gray: np.ndarray) -> float:
    """Return the variance of the Laplacian of a gray picture, (height, width) uint8, independent of its lighting.

    The picture is first scaled to a contrast of 50 gray levels (standard deviation).
    """
    deviation = cv2.meanStdDev(gray)[1].item()
    contrast = max(deviation, 15.0)  # below that, rounding errors of 8-bit pixels would count as sharpness
    return (cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_32F))[1].item() * 50.0 / contrast) ** 2


def estimate_pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Estimate yaw, pitch and roll in degrees from five landmarks, (5, 2) in pixels.

    Fits an average head by scaled orthographic projection (one step of DeMenthon and Davis's POS): least squares for
    the first two rows of the rotation, then the nearest orthonormal pair. If all landmarks lie on one line, the pose is
    unknown and pitch is 90.
    """
    (a, b, c), (d, e, f) = (_FIT_HEAD @ landmarks.astype(np.float64)).T.tolist()
    # The nearest orthonormal rows are (M M')^(-1/2) M. The square root of a symmetric 2x2 matrix S with determinant
    # q^2 is (S + q I) / t, where t^2 = trace + 2 q.
    across, mixed, along = a * a + b * b + c * c, a * d + b * e + c * f, d * d + e * e + f * f
    determinant = math.sqrt(max(0.0, across * along - mixed * mixed))
    smallest = determinant / math.sqrt(max((across + along + math.hypot(across - along, 2 * mixed)) / 2, 1e-300))
    if smallest < 1e-6:
        return 0.0, 90.0, 0.0
    scale = 1 / (determinant * math.sqrt(across + along + 2 * determinant))
    p, q, r = (along + determinant) * scale, -mixed * scale, (across + determinant) * scale
    right = p * a + q * d, p * b + q * e, p * c + q * f
    down = q * a + r * d, q * b + r * e, q * c + r * f
    yaw = math.degrees(math.atan2(right[2], math.hypot(right[0], right[1])))
    pitch = math.degrees(math.atan2(-down[2], math.hypot(down[0], down[1])))
    roll = math.degrees(math.atan2(down[0], down[1]))
    return yaw, pitch, roll
