"""Cosines as percentages, and the calibrations they come from."""

import numpy as np
import pytest

from app.domain.decisions import Calibration
from app.ml.calibration import DRAWN, find_calibration
from app.ml.packs.manifest import ManifestCalibration
from app.ml.published import PUBLISHED
from app.rekognition.arns import account_of, model_version
from app.rekognition.similarity import SimilarityScale

MEASURED = Calibration(((1e-2, 0.235), (1e-3, 0.321), (1e-4, 0.395), (1e-5, 0.458)), "a test")
ASSUMED = find_calibration("unknown", 0.45, knows_only_drawings=False)


@pytest.mark.parametrize("calibration", [MEASURED, DRAWN, ASSUMED])
def test_80_and_99_lie_where_the_calibration_says(calibration: Calibration) -> None:
    scale = SimilarityScale(calibration)
    assert scale.percent(calibration.similarity_at(1e-3)) == pytest.approx(80)
    assert scale.percent(calibration.similarity_at(1e-5)) == pytest.approx(99)
    assert scale.cosine(80) == pytest.approx(calibration.similarity_at(1e-3))
    assert scale.cosine(99) == pytest.approx(calibration.similarity_at(1e-5))


@pytest.mark.parametrize("calibration", [MEASURED, DRAWN, ASSUMED])
def test_percentages_never_change_the_order(calibration: Calibration) -> None:
    scale = SimilarityScale(calibration)
    percents = [scale.percent(cosine) for cosine in np.linspace(-1, 1, 2001)]
    assert percents == sorted(percents)
    below = [percent for percent in percents if percent < 100]
    assert len(set(below)) == len(below)
    assert percents[0] == pytest.approx(0, abs=1e-3)
    assert percents[-1] == 100


@pytest.mark.parametrize("percent", [0.5, 10, 50, 75, 80, 99, 99.9])
def test_a_threshold_and_its_cosine_say_the_same(percent: float) -> None:
    scale = SimilarityScale(MEASURED)
    assert scale.percent(scale.cosine(percent)) == pytest.approx(percent)


def test_the_ends_of_the_scale_are_thresholds_too() -> None:
    scale = SimilarityScale(MEASURED)
    assert scale.cosine(0) == scale.cosine(5e-324) == -1
    assert scale.percent(scale.cosine(100) + 1e-6) == 100


def test_between_and_beyond_what_was_measured() -> None:
    assert MEASURED.similarity_at(1e-4) == 0.395
    assert 0.321 < MEASURED.similarity_at(3e-4) < 0.395
    assert MEASURED.similarity_at(1e-6) == pytest.approx(0.521)
    assert MEASURED.similarity_at(1e-1) == pytest.approx(0.149)


def test_a_pack_says_how_similar_its_strangers_are() -> None:
    own = ManifestCalibration.model_validate({"cosines": {"1e-3": 0.3, "1e-5": 0.4}, "source": "the maker"})
    assert own.points() == ((1e-3, 0.3), (1e-5, 0.4))
    for wrong in ({"1e-3": 0.4, "1e-5": 0.3}, {"1e-3": 0.3}, {"2": 0.3, "1e-5": 0.4}, {"1e-3": 0.3, "1e-5": 1.4}):
        with pytest.raises(ValueError, match="validation error"):
            ManifestCalibration.model_validate({"cosines": wrong, "source": "the maker"})
    with pytest.raises(ValueError, match="validation error"):
        ManifestCalibration.model_validate({**own.model_dump(), "intervals": {1e-3: (9e-4, 1.1e-3)}})
    whole = ManifestCalibration.model_validate({**own.model_dump(), "intervals": {1e-3: (0, 1), 1e-5: (0, 1e-4)}})
    assert ManifestCalibration.from_calibration(whole.to_calibration()) == whole


def test_an_unmeasured_recognizer_is_assumed_from_its_threshold_and_says_so() -> None:
    assert ASSUMED.similarity_at(1e-5) == pytest.approx(0.45)
    assert "not measured" in ASSUMED.source


@pytest.mark.parametrize(("name", "rate", "cosine"), [("buffalo_l", 3e-3, 0.2469), ("buffalo_s", 6.4e-3, 0.2314)])
def test_a_published_figure_is_what_an_unmeasured_packs_rates_are_drawn_from(
    name: str, rate: float, cosine: float
) -> None:
    pack = PUBLISHED[name]
    found = find_calibration(pack.recognition_sha256, pack.threshold, knows_only_drawings=False)
    assert found.similarity_at(rate) == pytest.approx(cosine, abs=1e-3)
    assert "published figure" in found.description
    assert "not measured" in found.description
    assert not found.intervals
    # Not more lenient than the cautious threshold by more than a tenth of it.
    assert found.similarity_at(1e-5) == pytest.approx(pack.threshold, rel=0.1)


def test_a_model_version_is_digits_and_dots_and_changes_with_the_recognizer() -> None:
    one, other = model_version("w600k_r50:4c06341c33c2ca1f"), model_version("w600k_mbf:9cc6e4a75f0e2bf0")
    assert one == "7.19462.13340"
    assert one != other
    assert set(one) <= set("0123456789.")


def test_an_account_has_twelve_digits() -> None:
    from uuid import UUID

    assert account_of(UUID(int=7)) == "000000000007"
    assert len(account_of(UUID(int=2**128 - 1))) == 12


@pytest.mark.parametrize(
    "points", [((1e-1, 0.5), (1e-2, 0.8)), ((1e-3, 0.320), (1e-5, 0.321)), ((1e-1, -0.9), (1e-2, 0.99))]
)
def test_no_calibration_breaks_the_scale(points: tuple[tuple[float, float], ...]) -> None:
    scale = SimilarityScale(Calibration(points, "an odd one"))
    percents = [scale.percent(cosine) for cosine in np.linspace(-1, 1, 201)]
    assert percents == sorted(percents)
    assert all(0 <= percent <= 100 for percent in percents)
    assert -1 <= scale.cosine(80) <= scale.cosine(99) <= 1
