"""The real engine on the synthetic pack, no stand-in; InsightFace's own code as the oracle."""

import itertools
import os

import numpy as np
import pytest
from PIL import Image

from app.domain.faces import Detail
from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.detail import INPUT_SIZES, SMALL_INPUT, plan_passes
from app.ml.engine import Detection
from app.ml.image import ImageLimits, open_photo
from app.ml.local_finder import LocalFinder
from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group, draw_portrait
from tests import pictures


def detect(analyzer: FaceAnalyzer, image: Image.Image, detail: Detail = Detail.STANDARD) -> list[Detection]:
    photo = open_photo(pictures.encode(image, "PNG"), ImageLimits(max_bytes=10**8, max_pixels=10**8))
    assert isinstance(analyzer.engine, LocalFinder)
    return analyzer.engine.engine.detect(photo, plan_passes(photo.width, photo.height, detail, 40))


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("width", [34, 50, 90, 150, 260])
def test_faces_of_every_size_are_found_where_they_are(analyzer: FaceAnalyzer, width: float) -> None:
    side = max(320, round(width * 1.6))
    for seed in range(6):
        variation = Variation.random(np.random.default_rng(seed))
        image, (truth,) = draw_group([(Person(seed), Placement(side / 2, side / 2, width), variation)], (side, side))
        (found,) = detect(analyzer, image)
        assert np.abs(found.landmarks - np.array(truth.landmarks)).max() < 0.13 * width
        assert found.score > 0.5


def test_all_faces_of_a_group_are_found_and_come_largest_first(analyzer: FaceAnalyzer) -> None:
    people = [(Person(seed), Placement(130 + seed * 210, 220, 60 + 25 * seed), Variation()) for seed in range(4)]
    image, truth = draw_group(people, (960, 440))
    found = detect(analyzer, image)
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
    assert info.precision in ("f32", "bf16")


def test_a_face_that_fills_the_picture_is_found(analyzer: FaceAnalyzer) -> None:
    portrait = draw_portrait(Person(2), side=900).crop((180, 130, 720, 790))
    assert len(detect(analyzer, portrait)) == 1


@pytest.mark.parametrize("detail", list(Detail))
def test_input_sizes_come_from_a_small_fixed_set(detail: Detail) -> None:
    rng = np.random.default_rng(0)
    for width, height in rng.integers(16, 8000, (500, 2)).tolist():
        for one in plan_passes(width, height, detail, 40):
            assert one.input_size in INPUT_SIZES
            x1, y1, x2, y2 = one.box
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
    assert len(INPUT_SIZES) == 8


def test_a_small_look_is_left_out_only_where_speed_was_asked_for() -> None:
    assert [one.input_size for one in plan_passes(250, 250, Detail.STANDARD, 40)] == [(256, 256), SMALL_INPUT]
    assert [one.input_size for one in plan_passes(250, 250, Detail.FAST, 40)] == [(256, 256)]
    assert [one.input_size for one in plan_passes(4000, 3000, Detail.FAST, 40)] == [(320, 320)]


def test_tiles_cover_the_picture_and_overlap() -> None:
    width, height = 4000, 3000
    tiles = [one.box for one in plan_passes(width, height, Detail.THOROUGH, 40) if one.is_tile]
    covered = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2 in tiles:
        covered[round(y1) : round(y2), round(x1) : round(x2)] += 1
    assert covered.min() >= 1
    columns = sorted({(x1, x2) for x1, _, x2, _ in tiles})
    assert all(left[1] - right[0] >= 319 for left, right in itertools.pairwise(columns))
    assert not any(one.is_tile for one in plan_passes(1200, 900, Detail.THOROUGH, 40))
    assert len(plan_passes(8000, 5000, Detail.THOROUGH, 10)) <= 66


def test_small_faces_of_a_large_photo_are_found_when_asked_for(analyzer: FaceAnalyzer) -> None:
    places = [(300 + 850 * column, 300 + 800 * row) for row in range(3) for column in range(4)]
    people = [(Person(seed), Placement(x, y, 60), Variation()) for seed, (x, y) in enumerate(places)]
    image, truth = draw_group(people, (3200, 2400))
    assert len(detect(analyzer, image)) < len(truth)
    found = detect(analyzer, image, Detail.THOROUGH)
    assert len(found) == len(truth)
    centers = np.array([np.mean(face.landmarks, axis=0) for face in truth])
    for detection in found:
        assert np.abs(centers - detection.landmarks.mean(axis=0)).max(axis=1).min() < 6


def test_a_face_on_the_border_of_tiles_is_found_once(analyzer: FaceAnalyzer) -> None:
    starts = sorted({one.box[0] for one in plan_passes(3200, 2400, Detail.THOROUGH, 40) if one.is_tile})
    for x in (starts[1], starts[1] + 160, starts[1] + 320):
        image, truth = draw_group([(Person(3), Placement(x, 1000, 120), Variation())], (3200, 2400))
        (found,) = detect(analyzer, image, Detail.THOROUGH)
        assert np.abs(found.landmarks - np.array(truth[0].landmarks)).max() < 12
