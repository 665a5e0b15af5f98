"""The real engine on the synthetic pack: insightface and onnxruntime, no stand-in."""

import os

import numpy as np
import pytest

from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.insightface_engine import fit_input_sizes
from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group, draw_portrait
from tests import pictures


def bgr(image: object) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("width", [34, 50, 90, 150, 260])
def test_faces_of_every_size_are_found_where_they_are(analyzer: FaceAnalyzer, width: float) -> None:
    side = max(320, round(width * 1.6))
    for seed in range(6):
        variation = Variation.random(np.random.default_rng(seed))
        image, (truth,) = draw_group([(Person(seed), Placement(side / 2, side / 2, width), variation)], (side, side))
        (found,) = analyzer.engine.detect(bgr(image))
        assert np.abs(found.landmarks - np.array(truth.keypoints)).max() < 0.13 * width
        assert found.score > 0.5


def test_all_faces_of_a_group_are_found_and_come_largest_first(analyzer: FaceAnalyzer) -> None:
    people = [(Person(seed), Placement(130 + seed * 210, 220, 60 + 25 * seed), Variation()) for seed in range(4)]
    image, truth = draw_group(people, (960, 440))
    found = analyzer.engine.detect(bgr(image))
    assert len(found) == len(truth) == 4
    assert [detection.area for detection in found] == sorted((d.area for d in found), reverse=True)


def test_nothing_is_found_where_nobody_is(analyzer: FaceAnalyzer) -> None:
    for data in (pictures.landscape(), pictures.encode(pictures.portrait(1).convert("L"))):
        assert analyzer.analyze(data, Embed.ALL).faces == ()


def test_embeddings_have_unit_length_and_tell_people_apart(analyzer: FaceAnalyzer) -> None:
    embeddings: list[np.ndarray] = []
    for seed in range(20):
        for take in (1, 2):
            analysis = analyzer.analyze(pictures.photo(seed, take), Embed.ALL)
            embeddings.append(analysis.embeddings[0])
    vectors = np.stack(embeddings)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    similarities = vectors @ vectors.T
    people = np.repeat(np.arange(20), 2)
    same = (people[:, None] == people) & ~np.eye(40, dtype=bool)
    threshold = analyzer.engine.info.threshold
    assert (similarities[same] >= threshold).mean() > 0.9
    assert (similarities[people[:, None] != people] >= threshold).mean() < 0.01
    best = np.where(np.eye(40, dtype=bool), -2, similarities).argmax(axis=1)
    assert (people[best] == people).all()


def test_the_same_picture_gives_the_same_embedding(analyzer: FaceAnalyzer) -> None:
    one, two = (analyzer.analyze(pictures.photo(7), Embed.ALL).embeddings[0] for _ in range(2))
    assert np.array_equal(one, two)


def test_only_the_faces_asked_for_are_embedded(analyzer: FaceAnalyzer) -> None:
    several = pictures.group(1, 2, 3)
    assert len(analyzer.analyze(several, Embed.NONE).embeddings) == 0
    assert len(analyzer.analyze(several, Embed.LARGEST).embeddings) == 1
    assert len(analyzer.analyze(several, Embed.ALL).embeddings) == 3
    assert len(analyzer.analyze(several, Embed.ONLY).embeddings) == 0
    assert len(analyzer.analyze(pictures.small(1), Embed.LARGEST_ACCEPTABLE).embeddings) == 0


def test_the_engine_says_what_runs(analyzer: FaceAnalyzer) -> None:
    info = analyzer.engine.info
    assert info.pack == "synthetic"
    assert info.knows_only_drawings
    assert info.recognizer.startswith("rec_drawn:")
    assert info.providers[-1] == "CPUExecutionProvider"


def test_a_face_that_fills_the_picture_is_found(analyzer: FaceAnalyzer) -> None:
    portrait = draw_portrait(Person(2), side=900).crop((180, 130, 720, 790))
    assert len(analyzer.engine.detect(bgr(portrait))) == 1


def test_input_sizes_come_from_a_small_fixed_set() -> None:
    sizes = {
        size
        for width, height in [(100, 100), (250, 250), (400, 300), (640, 480), (1920, 1080), (1080, 1920), (5000, 5000)]
        for size in fit_input_sizes(width, height)
    }
    assert sizes == {(160, 160), (320, 320), (640, 480), (480, 640), (640, 640)}
