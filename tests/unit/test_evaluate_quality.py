"""Error-versus-discard curves, on faces whose errors are known."""

import numpy as np
import pytest

from app.errors import OperatorError
from app.evaluation.quality import RatedFace, evaluate_quality

PEOPLE, PHOTOS = 60, 4


def faces(noise_of_bad: float, share_of_bad: float = 0.1) -> list[RatedFace]:
    """People with photos of which some are bad: their embeddings stray, and `quality score` says so."""
    rng = np.random.default_rng(3)
    made = []
    for person in range(PEOPLE):
        direction = rng.standard_normal(512)
        for _ in range(PHOTOS):
            is_bad = rng.random() < share_of_bad
            vector = direction + (noise_of_bad if is_bad else 0.5) * rng.standard_normal(512)
            embedding = (vector / np.linalg.norm(vector)).astype(np.float32)
            score = float(rng.uniform(0, 20) if is_bad else rng.uniform(50, 100))
            made.append(RatedFace(person, embedding, {"quality score": score, "sharpness": float(rng.random())}))
    return made


def test_a_measure_that_predicts_errors_falls_and_a_random_one_does_not() -> None:
    found = evaluate_quality(faces(noise_of_bad=12.0), 1e-3)
    good, random = found["measures"]["quality score"], found["measures"]["sharpness"]
    assert good["curve"][0] == random["curve"][0]
    assert good["curve"][0]["fnmr"] > 0.1
    assert good["curve"][-1]["fnmr"] == 0
    assert good["mean_fnmr_of_start"] < 0.4
    assert 0.8 < random["mean_fnmr_of_start"] < 1.2
    assert [row["discarded"] for row in good["curve"]][-1] == pytest.approx(0.2)


def test_all_rates_are_those_of_counting_pairs_one_by_one() -> None:
    made = faces(noise_of_bad=3.0)
    found = evaluate_quality(made, 1e-2)
    threshold, row = found["threshold"], found["measures"]["quality score"]["curve"][20]
    kept = sorted(made, key=lambda face: face.measures["quality score"])[round(row["discarded"] * len(made)) :]
    pairs = [(one, other) for index, one in enumerate(kept) for other in kept[:index]]
    similar = {True: list[bool](), False: list[bool]()}
    for one, other in pairs:
        similar[one.person == other.person].append(float(one.embedding @ other.embedding) >= threshold)
    assert row["fmr"] == pytest.approx(np.mean(similar[False]))
    assert row["fnmr"] == pytest.approx(1 - np.mean(similar[True]))
    assert found["measures"]["quality score"]["curve"][0]["fmr"] <= 1e-2


def test_measures_that_are_unknown_for_a_face_are_left_out_and_too_few_faces_are_refused() -> None:
    made = faces(noise_of_bad=3.0)
    unknown = RatedFace(0, made[0].embedding, {"sharpness": 1.0})
    assert set(evaluate_quality([*made, unknown], 1e-2)["measures"]) == {"sharpness"}
    with pytest.raises(OperatorError, match="at least 100"):
        evaluate_quality(made[:50], 1e-2)
