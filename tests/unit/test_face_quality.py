"""Quality models, and decisions about faces that they find unreliable."""

from pathlib import Path

import numpy as np
import pytest

from app.domain.decisions import Calibration, Candidate, Decision, DecisionLimit, DecisionPolicy
from app.domain.faces import RELIABLE_FROM, is_reliable
from app.errors import ModelPackRefused
from app.matcher.thresholds import Thresholds, decide_candidate
from app.ml.face_quality.degradation import degrade
from app.ml.face_quality.features import FEATURES, measure_crop
from app.ml.face_quality.fitting import MAX_REFUSED, fit_quality_model
from app.ml.face_quality.known import find_quality_model, quality_file
from app.ml.face_quality.model import INPUTS, QualityModel

CALIBRATION = Calibration(((1e-2, 0.2), (1e-3, 0.3), (1e-4, 0.4)), "a test")
THRESHOLDS = Thresholds.from_policy(CALIBRATION, DecisionPolicy(max_false_match_rate=0.01), 1)
LANDMARKS = np.array([[95, 110], [155, 110], [125, 145], [103, 175], [147, 175]], dtype=np.float32)


@pytest.fixture(scope="module")
def fitted() -> tuple[QualityModel, np.ndarray, np.ndarray]:
    """A model of faces in which a bad one is shifted in some inputs, those faces, and which of them are undamaged."""
    rng = np.random.default_rng(0)
    faces = rng.standard_normal((1500, INPUTS)).astype(np.float32)
    is_undamaged = np.arange(1500) % 3 == 0
    faces[~is_undamaged, :20] += 1.5
    people = np.arange(1500) // 6
    return fit_quality_model(faces, is_undamaged, people, about="a test"), faces, is_undamaged


def test_a_fitted_model_tells_undamaged_faces_from_degraded_ones(
    fitted: tuple[QualityModel, np.ndarray, np.ndarray],
) -> None:
    model, faces, is_undamaged = fitted
    scores = model.score(faces)
    assert np.all((scores >= 0) & (scores <= 100))
    assert np.mean(scores[is_undamaged] < RELIABLE_FROM) <= 2 * MAX_REFUSED
    assert np.mean(scores[~is_undamaged] < RELIABLE_FROM) > 0.9


def test_a_model_survives_its_file(fitted: tuple[QualityModel, np.ndarray, np.ndarray]) -> None:
    model, faces, _ = fitted
    read = QualityModel.from_bytes(model.to_bytes())
    assert read.source == model.source
    assert read.score(faces) == pytest.approx(model.score(faces), abs=0.2)


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_a_file_that_is_no_model_is_refused(fitted: tuple[QualityModel, np.ndarray, np.ndarray], size: int) -> None:
    with pytest.raises(ValueError, match="not a quality model"):
        QualityModel.from_bytes(fitted[0].to_bytes()[:size])


def test_a_packs_own_model_comes_first_and_a_wrong_file_is_named(
    fitted: tuple[QualityModel, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    assert find_quality_model(tmp_path, "0" * 64, is_mirrored=False) is None
    own = quality_file(tmp_path, is_mirrored=False)
    own.write_bytes(fitted[0].to_bytes())
    found = find_quality_model(tmp_path, "0" * 64, is_mirrored=False)
    assert found is not None
    assert found.source == fitted[0].source
    assert find_quality_model(tmp_path, "0" * 64, is_mirrored=True) is None
    own.write_bytes(b"no model")
    with pytest.raises(ModelPackRefused, match=r"quality\.npz is not a quality model"):
        find_quality_model(tmp_path, "0" * 64, is_mirrored=False)


def test_features_of_a_crop_are_finite_numbers() -> None:
    for crop in (np.zeros((112, 112, 3), np.uint8), np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)):
        features = measure_crop(crop)
        assert features.shape == (FEATURES,)
        assert np.all(np.isfinite(features))


def test_degradations_are_drawn_and_change_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (250, 250, 3)).astype(np.uint8)
    before = picture.copy()
    drawn = [degrade(picture, LANDMARKS, np.random.default_rng(seed)) for seed in range(60)]
    assert np.array_equal(picture, before)
    assert all(one.shape == picture.shape and not np.array_equal(one, picture) for one in drawn)
    assert np.array_equal(degrade(picture, LANDMARKS, np.random.default_rng(7)), drawn[7])


def test_an_unknown_score_lowers_nothing() -> None:
    assert is_reliable(None)
    assert is_reliable(RELIABLE_FROM)
    assert not is_reliable(RELIABLE_FROM - 0.01)


def test_a_probe_of_low_quality_is_never_a_match_and_states_no_rate() -> None:
    decided = decide_candidate(Candidate("a", None, 0.9, 0.9), THRESHOLDS, is_probe_reliable=False)
    assert decided.decision is Decision.REVIEW
    assert decided.false_match_rate is None
    assert decided.limits == (DecisionLimit.PROBE_QUALITY,)
    unlike = decide_candidate(Candidate("a", None, -0.5, -0.5), THRESHOLDS, is_probe_reliable=False)
    assert unlike.decision is Decision.NO_MATCH


@pytest.mark.parametrize(
    ("reliable_similarity", "decision", "limits"),
    [
        (None, Decision.MATCH, ()),
        (0.8, Decision.MATCH, ()),
        (0.0, Decision.REVIEW, (DecisionLimit.TEMPLATE_QUALITY,)),
        (-1.0, Decision.REVIEW, (DecisionLimit.TEMPLATE_QUALITY,)),
    ],
)
def test_templates_of_low_quality_alone_make_no_match(
    reliable_similarity: float | None, decision: Decision, limits: tuple[DecisionLimit, ...]
) -> None:
    decided = decide_candidate(Candidate("a", None, 0.9, 0.9, reliable_similarity), THRESHOLDS)
    assert (decided.decision, decided.limits) == (decision, limits)
    assert (decided.false_match_rate is None) == bool(limits)
