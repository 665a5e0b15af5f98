"""What is measured on a face, and which faces may be registered."""

import math

import cv2
import numpy as np
import pytest

from app.domain.faces import QualityReason
from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.engine import Detection
from app.ml.pixels import Crop
from app.ml.quality import QualityLimits, assess_quality, estimate_pose, measure_sharpness
from tests import pictures

LIMITS = QualityLimits(40, 40, 35, 235, 45, 40, 0.67)
HEAD = np.array([[-31.5, -34, 28], [31.5, -34, 28], [0, 0, 0], [-25, 33, 24], [25, 33, 24]])


def turned(yaw_deg: float = 0, pitch_deg: float = 0, roll_deg: float = 0) -> np.ndarray:
    """Landmarks of the mean head after a rotation, as a distant camera sees them."""
    y, p, r = (math.radians(angle) for angle in (yaw_deg, pitch_deg, roll_deg))
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return np.asarray((HEAD @ (about_z @ about_x @ about_y).T)[:, :2] * 1.7 + [200, 150])


def detection(landmarks: np.ndarray, side: float = 100) -> Detection:
    return Detection((0, 0, side, side), landmarks.astype(np.float32), 0.9)


def face_like_crop(level: int = 128) -> Crop:
    noise = np.random.default_rng(1).normal(0, 60, (112, 112, 3))
    return np.clip(noise + level, 0, 255).astype(np.uint8)


def blurred_crop() -> Crop:
    portrait = np.asarray(pictures.portrait(4, side=224))[56:168, 56:168]
    return np.asarray(cv2.GaussianBlur(portrait, (0, 0), 6), dtype=np.uint8)


@pytest.mark.parametrize("angle", [-60, -30, 0, 20, 50])
def test_yaw_is_read_from_the_landmarks(angle: float) -> None:
    yaw, pitch, _ = estimate_pose(turned(yaw_deg=angle))
    assert abs(yaw) == pytest.approx(abs(angle), abs=1)
    assert pitch == pytest.approx(0, abs=1)


@pytest.mark.parametrize("angle", [-35, 0, 35])
def test_pitch_and_roll_do_not_disturb_each_other(angle: float) -> None:
    assert abs(estimate_pose(turned(pitch_deg=angle))[1]) == pytest.approx(abs(angle), abs=1)
    assert estimate_pose(turned(roll_deg=angle))[2] == pytest.approx(angle, abs=1)


def test_sharpness_falls_with_blur_and_does_not_see_light() -> None:
    gray = cv2.cvtColor(face_like_crop(), cv2.COLOR_BGR2GRAY)
    blurred = [measure_sharpness(cv2.GaussianBlur(gray, (0, 0), sigma)) for sigma in (1, 2, 4)]
    assert measure_sharpness(gray) > blurred[0] > blurred[1] > blurred[2]
    half_as_bright = (gray // 2).astype(np.uint8)
    assert measure_sharpness(half_as_bright) == pytest.approx(measure_sharpness(gray), rel=0.1)


@pytest.mark.parametrize(
    ("reason", "landmarks", "crop", "side"),
    [
        (QualityReason.TOO_SMALL, turned(), face_like_crop(), 39),
        (QualityReason.TOO_DARK, turned(), face_like_crop(10), 100),
        (QualityReason.TOO_BRIGHT, turned(), face_like_crop(330), 100),
        (QualityReason.TURNED_AWAY, turned(yaw_deg=50), face_like_crop(), 100),
        (QualityReason.TURNED_AWAY, turned(pitch_deg=-45), face_like_crop(), 100),
        (QualityReason.BLURRED, turned(), blurred_crop(), 100),
    ],
)
def test_each_fault_is_named_with_value_and_limit(
    reason: QualityReason, landmarks: np.ndarray, crop: Crop, side: float
) -> None:
    quality = assess_quality(detection(landmarks, side), crop, (400, 300), LIMITS)
    assert [found.reason for found in quality.findings] == [reason]
    assert quality.findings[0].value != quality.findings[0].limit
    assert not quality.is_acceptable


def test_a_plain_portrait_is_acceptable(analyzer: FaceAnalyzer) -> None:
    (face,) = analyzer.analyze(pictures.photo(4), Embed.NONE).faces
    assert face.quality.is_acceptable
    assert abs(face.quality.yaw_deg) < 5
    assert abs(face.quality.roll_deg) < 5


@pytest.mark.parametrize(("left", "share"), [(0, 1.0), (-25, 0.75), (-50, 0.5), (-200, 0.0)])
def test_the_visible_share_is_that_of_the_box(left: float, share: float) -> None:
    found = Detection((left, 0, left + 100, 100), turned().astype(np.float32), 0.9)
    quality = assess_quality(found, face_like_crop(), (400, 300), LIMITS)
    assert quality.visible_share == pytest.approx(share)
    assert [finding.reason for finding in quality.findings] == ([QualityReason.CUT_OFF] if share < 0.67 else [])
