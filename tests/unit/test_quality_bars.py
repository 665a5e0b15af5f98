"""The quality bars: each is at least as strict as the one below, and HIGH still takes a head turned a little."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.faces import BoundingBox, Face, Quality, QualityBar
from app.ml.quality import QualityLimits, judge_face

LIMITS = QualityLimits(40, 40, 35, 235, 45, 40, 0.67)
BARS = (QualityBar.NONE, QualityBar.LOW, QualityBar.AUTO, QualityBar.MEDIUM, QualityBar.HIGH)


def face(
    *,
    score: float = 0.9,
    pixels: float = 100,
    yaw: float = 0,
    pitch: float = 0,
    sharpness: float = 300,
    brightness: float = 128,
    visible_share: float = 1,
) -> Face:
    quality = Quality(pixels, sharpness, brightness, yaw, pitch, 0, visible_share)
    return Face(BoundingBox(0, 0, pixels, pixels), (), score, quality)


def passes(one: Face, bar: QualityBar) -> bool:
    """Judge a face as the analyzer does, which finds the faults for AUTO first."""
    if bar is QualityBar.AUTO:
        # With twice the half, LOW's limits are those of AUTO.
        doubled = QualityLimits(80, 80, 70, 215, 22.5, 20, 0.835)
        return not judge_face(one, QualityBar.LOW, doubled)
    return not judge_face(one, bar, LIMITS)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    score=st.floats(0.5, 1),
    pixels=st.floats(10, 100),
    yaw=st.floats(-90, 90),
    pitch=st.floats(-90, 90),
    sharpness=st.floats(0, 120),
    brightness=st.floats(0, 255),
    visible_share=st.floats(0, 1),
)
def test_a_face_that_passes_a_bar_passes_all_below(**measured: float) -> None:
    taken = [passes(face(**measured), bar) for bar in BARS]
    assert taken == sorted(taken, reverse=True)
    assert taken[0]


@pytest.mark.parametrize(
    ("bar", "pixels", "yaw", "pitch", "sharpness"),
    [
        (QualityBar.LOW, 20, 90, 80, 20),
        (QualityBar.AUTO, 40, 45, 40, 40),
        (QualityBar.MEDIUM, 50, 37.5, 33.3, 60),
        (QualityBar.HIGH, 60, 32.1, 28.5, 80),
    ],
)
def test_the_limits_of_each_bar(bar: QualityBar, pixels: float, yaw: float, pitch: float, sharpness: float) -> None:
    assert passes(face(pixels=pixels, yaw=yaw, pitch=pitch, sharpness=sharpness), bar)
    assert not passes(face(pixels=pixels - 1), bar)
    assert not passes(face(sharpness=sharpness - 1), bar)
    assert not passes(face(pitch=pitch + 1), bar)
    assert yaw == 90 or not passes(face(yaw=yaw + 1), bar)


def test_high_alone_asks_for_a_certain_detection() -> None:
    assert [passes(face(score=0.69), bar) for bar in BARS] == [True, True, True, True, False]
    assert all(passes(face(score=0.7), bar) for bar in BARS)
