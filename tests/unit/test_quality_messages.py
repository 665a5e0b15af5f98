"""Error details about a face's quality: exact limits, and values that visibly violate them."""

import math
import re

import pytest

from app.domain.faces import QualityFinding, QualityReason
from app.rekognition.faces_out import REASONS
from app.services.photos.face_reader import quality_error

MIN_LIMITS = [
    (QualityReason.TOO_SMALL, 40.0),
    (QualityReason.TOO_DARK, 35.0),
    (QualityReason.BLURRED, 40.0),
    (QualityReason.BLURRED, 0.7),
    (QualityReason.UNCERTAIN, 0.7),
    (QualityReason.CUT_OFF, 0.67),
    (QualityReason.TOO_SMALL, 40.0 * 1.5),
    (QualityReason.TOO_DARK, 35.0 * 1.5),
]
MAX_LIMITS = [
    (QualityReason.TURNED_AWAY, 45.0),
    (QualityReason.TURNED_AWAY, 40.0),
    (QualityReason.TURNED_AWAY, 40.0 / 1.5),
    (QualityReason.TOO_BRIGHT, 235.0),
    (QualityReason.TOO_BRIGHT, 225.5),
]
EXCESSES = [10.0**-exponent * factor for exponent in range(-1, 12) for factor in (1.0, 4.0, 5.0)]


def parse(reason: QualityReason, value: float, limit: float) -> tuple[float, float]:
    detail = quality_error(QualityFinding(reason, value, limit)).detail.replace(" of 255", "")
    shown_value, shown_limit = re.findall(r"\d+(?:\.\d+)?", detail)
    return float(shown_value), float(shown_limit)


@pytest.mark.parametrize(("reason", "limit"), MIN_LIMITS)
def test_a_value_below_a_minimum_is_printed_below_it(reason: QualityReason, limit: float) -> None:
    for value in [*(limit - excess for excess in EXCESSES if excess < limit), math.nextafter(limit, 0)]:
        shown_value, shown_limit = parse(reason, value, limit)
        assert shown_limit == pytest.approx(limit, rel=1e-9)
        assert shown_value < min(limit, shown_limit)
        assert QualityFinding(reason, value, limit).round_value(1) < limit


@pytest.mark.parametrize(("reason", "limit"), MAX_LIMITS)
def test_a_value_above_a_maximum_is_printed_above_it(reason: QualityReason, limit: float) -> None:
    for value in [*(limit + excess for excess in EXCESSES), math.nextafter(limit, 1000)]:
        shown_value, shown_limit = parse(reason, value, limit)
        assert shown_limit == pytest.approx(limit, rel=1e-9)
        assert shown_value > max(limit, shown_limit)
        assert QualityFinding(reason, value, limit).round_value(1) > limit


@pytest.mark.parametrize("reason", QualityReason)
def test_every_reason_has_an_error_and_a_word_of_the_rekognition_protocol(reason: QualityReason) -> None:
    error = quality_error(QualityFinding(reason, 12.3, 20.0))
    assert "12" in error.detail
    assert "20" in error.detail
    assert REASONS[reason].isupper()


@pytest.mark.parametrize(
    ("reason", "value", "limit", "detail"),
    [
        (QualityReason.TURNED_AWAY, 45.0004, 45.0, "The face is turned by 45.0004 degrees; at most 45 are allowed."),
        (QualityReason.TURNED_AWAY, 61.3, 45.0, "The face is turned by 61 degrees; at most 45 are allowed."),
        (QualityReason.TURNED_AWAY, 40.4, 40.0, "The face is turned by 40.4 degrees; at most 40 are allowed."),
        (QualityReason.TOO_SMALL, 39.7, 40.0, "The face is 39.7 px wide or high; at least 40 px are needed."),
        (QualityReason.UNCERTAIN, 0.698, 0.7, "The face's detection score is 0.698; at least 0.7 is needed."),
        (QualityReason.UNCERTAIN, 0.55, 0.7, "The face's detection score is 0.55; at least 0.7 is needed."),
        (
            QualityReason.TOO_BRIGHT,
            235.02,
            235.0,
            "The face's mean brightness is 235.02 of 255; at most 235 is allowed.",
        ),
    ],
)
def test_a_detail_has_no_more_decimals_than_it_needs(
    reason: QualityReason, value: float, limit: float, detail: str
) -> None:
    assert quality_error(QualityFinding(reason, value, limit)).detail == detail
