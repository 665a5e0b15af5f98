"""Measures whether a face is good enough to register, and says why not."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from app.domain.faces import Face, Quality, QualityBar, QualityFinding, QualityReason
from app.ml.engine import Detection
from app.ml.pixels import Crop


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Bounds of an acceptable face; see `assess_quality` for what each number means."""

    min_face_pixels: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw_deg: float
    max_pitch_deg: float


# How many times as strict as `AUTO`.
_BARS = {QualityBar.LOW: 0.5, QualityBar.MEDIUM: 1.5, QualityBar.HIGH: 2.0}
_MIN_SCORE = {QualityBar.HIGH: 0.7}

# Where the middle of the face lies in the aligned 112x112 crop: eyes to chin, without hair and background.
_CENTRE = (slice(32, 104), slice(28, 84))

# The five landmarks on a head of average size, in millimetres: x right, y down, z away from the camera, nose at 0
# (eyes 63 mm apart; depths from the 68-point mean shape that ships with 3DDFA).
_HEAD = np.array([[-31.5, -34, 28], [31.5, -34, 28], [0, 0, 0], [-25, 33, 24], [25, 33, 24]], dtype=np.float64)


def assess_quality(detection: Detection, crop: Crop, limits: QualityLimits) -> Quality:
    """Measure one face.

    `face_pixels`: the shorter side of its box. `sharpness`: variance of the Laplacian over the crop's middle, after
    its contrast is brought to a standard deviation of 50 gray levels. `brightness`: mean gray, 0..255, of the same.
    Yaw, pitch and roll (positive: tilted clockwise in the picture) in degrees, from the five landmarks.
    """
    x1, y1, x2, y2 = detection.corners
    face_pixels = max(0.0, min(x2 - x1, y2 - y1))
    gray = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[_CENTRE]
    brightness = float(gray.mean())
    sharpness = measure_sharpness(gray)
    yaw, pitch, roll = estimate_pose(detection.landmarks)
    measured = Quality(face_pixels, sharpness, brightness, yaw, pitch, roll)
    return replace(measured, findings=tuple(_judge(measured, limits)))


def judge_by(face: Face, bar: QualityBar, limits: QualityLimits) -> tuple[QualityFinding, ...]:
    """What keeps a face below a bar, where `limits` are those of `AUTO`; empty: nothing."""
    if bar is QualityBar.NONE:
        return ()
    if bar is QualityBar.AUTO:
        return face.quality.findings
    findings = _judge(face.quality, _scaled(limits, _BARS[bar]))
    least = _MIN_SCORE.get(bar, 0.0)
    if face.detection_score < least:
        findings.append(QualityFinding(QualityReason.UNCERTAIN, face.detection_score, least))
    return tuple(findings)


def _judge(quality: Quality, limits: QualityLimits) -> list[QualityFinding]:
    yaw, pitch = abs(quality.yaw_deg), abs(quality.pitch_deg)
    checks = (
        (
            QualityReason.TOO_SMALL,
            quality.face_pixels,
            limits.min_face_pixels,
            quality.face_pixels < limits.min_face_pixels,
        ),
        (QualityReason.TOO_DARK, quality.brightness, limits.min_brightness, quality.brightness < limits.min_brightness),
        (
            QualityReason.TOO_BRIGHT,
            quality.brightness,
            limits.max_brightness,
            quality.brightness > limits.max_brightness,
        ),
        (QualityReason.TURNED_AWAY, yaw, limits.max_yaw_deg, yaw > limits.max_yaw_deg),
        (QualityReason.TURNED_AWAY, pitch, limits.max_pitch_deg, pitch > limits.max_pitch_deg),
        (QualityReason.BLURRED, quality.sharpness, limits.min_sharpness, quality.sharpness < limits.min_sharpness),
    )
    return [QualityFinding(reason, value, limit) for reason, value, limit, is_broken in checks if is_broken]


def _scaled(limits: QualityLimits, strictness: float) -> QualityLimits:
    return QualityLimits(
        min_face_pixels=limits.min_face_pixels * strictness,
        min_sharpness=limits.min_sharpness * strictness,
        min_brightness=limits.min_brightness * strictness,
        max_brightness=255 - (255 - limits.max_brightness) * strictness,
        max_yaw_deg=min(90.0, limits.max_yaw_deg / strictness),
        max_pitch_deg=min(90.0, limits.max_pitch_deg / strictness),
    )


def measure_sharpness(gray: np.ndarray) -> float:
    """Variance of the Laplacian of a gray (h, w) uint8 picture at a standard contrast: light does not change it."""
    values = gray.astype(np.float32)
    contrast = max(float(values.std()), 15.0)  # below that, rounding to 8 bits alone would look sharp
    return float(cv2.Laplacian(values * (50.0 / contrast), cv2.CV_32F).var())


def estimate_pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees from the five landmarks, (5, 2) in pixels.

    Fits the mean head by scaled orthographic projection (DeMenthon and Davis's POS, one step): least squares for the
    first two rows of the rotation, then the nearest orthonormal pair.
    """
    model = _HEAD - _HEAD.mean(axis=0)
    points = landmarks.astype(np.float64) - landmarks.mean(axis=0)
    rows, *_ = np.linalg.lstsq(model, points, rcond=None)
    u, strengths, vt = np.linalg.svd(rows.T, full_matrices=False)
    if strengths[1] < 1e-6:
        return 0.0, 90.0, 0.0
    right, down = u @ vt
    yaw = math.degrees(math.atan2(right[2], math.hypot(right[0], right[1])))
    pitch = math.degrees(math.atan2(-down[2], math.hypot(down[0], down[1])))
    roll = math.degrees(math.atan2(down[0], down[1]))
    return yaw, pitch, roll
