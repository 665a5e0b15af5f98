"""SCRFD, ArcFace and the alignment against InsightFace's own code; sessions, their cache, batches."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.model_zoo import get_model
from insightface.utils.face_align import norm_crop
from PIL import Image

from app.domain.faces import Detail
from app.errors import ModelPackRefused
from app.ml.alignment import compose, estimate_alignment, get_scale, invert, locate_region
from app.ml.arcface import ArcFace
from app.ml.batching import Batcher
from app.ml.detail import plan_passes
from app.ml.image import ImageLimits, open_photo
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.network_input import NetworkInput
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import ModelPack
from app.ml.scrfd import NO_DETECTIONS, RawDetections, merge
from app.ml.sessions import Runtime
from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group
from tests import pictures

CPU = "CPUExecutionProvider"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> ModelPack:
    directory = tmp_path_factory.mktemp("pack")
    return PackLibrary(cache=directory, data_dir=directory).find("synthetic")


def test_a_picture_is_analyzed_as_insightface_does(pack: ModelPack) -> None:
    """The same networks on the same provider: boxes and embeddings agree to rounding, landmarks nearly."""
    engine = InsightFaceEngine(pack, Runtime(providers="cpu"))
    detector = get_model(str(pack.detection.path), providers=[CPU])
    recognizer = get_model(str(pack.recognition.path), providers=[CPU])
    for seed in range(6):
        # At its own size: the two shrink pictures differently (smoothly here, from single pixels there).
        people = [(Person(seed + 10 * k), Placement(120 + 200 * k, 240, 80 + 15 * k), Variation()) for k in range(3)]
        data = pictures.encode(draw_group(people, (640, 480))[0], "PNG")
        photo = open_photo(data, ImageLimits(max_bytes=10**7, max_pixels=10**7))
        passes = plan_passes(photo.width, photo.height, Detail.STANDARD, 40)[:1]
        ours = engine.detect(photo, passes)
        pixels = photo.render((0, 0, photo.width, photo.height), photo.width, photo.height)
        boxes, landmarks = detector.detect(pixels, input_size=[one.input_size for one in passes], det_thresh=0.5)
        order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
        assert len(ours) == len(boxes) >= 3
        for face, place in zip(ours, order, strict=True):
            assert np.allclose(face.corners, boxes[place, :4], atol=0.01)
            # InsightFace takes the landmarks of the surest anchor, we the mean of all that see the face.
            assert np.allclose(face.landmarks, landmarks[place], atol=0.03 * (face.corners[2] - face.corners[0]))
            theirs = recognizer.get_feat([norm_crop(pixels, face.landmarks)])[0]
            (embedding,) = engine.embed([engine.align(photo, face)])
            assert float(theirs @ embedding / np.linalg.norm(theirs)) > 0.9999


def test_providers_of_one_recognizer_agree(pack: ModelPack) -> None:
    """The issue's bound: to a cosine of 0.999, else they would be two recognizers."""
    plain, chosen = (InsightFaceEngine(pack, Runtime(providers=name, threads=2)) for name in ("cpu", "auto"))
    for seed in range(12):
        photo = open_photo(pictures.photo(seed), ImageLimits(max_bytes=10**7, max_pixels=10**7))
        crop = plain.align(photo, plain.detect(photo, plan_passes(photo.width, photo.height, Detail.STANDARD, 40))[0])
        assert float(plain.embed([crop])[0] @ chosen.embed([crop])[0]) >= 0.999


def test_the_alignment_is_insightfaces() -> None:
    rng = np.random.default_rng(3)
    base = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
    picture = rng.integers(0, 255, (400, 400, 3)).astype(np.uint8)
    png = pictures.encode(Image.fromarray(picture[:, :, ::-1]), "PNG")
    for _ in range(50):
        angle, scale = rng.uniform(-1, 1), rng.uniform(0.4, 2.5)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (base @ turn.T + rng.uniform(0, 150, 2) + rng.normal(0, 2, (5, 2))).astype(np.float32)
        transform = estimate_alignment(points)
        photo = open_photo(png, ImageLimits(max_bytes=10**7, max_pixels=10**7))
        if get_scale(transform) > 0.56:  # else a coarser level is taken, on purpose
            theirs = norm_crop(picture, points).astype(int)
            assert np.abs(photo.warp(transform, 112) - theirs).mean() < 0.5
        assert np.allclose(compose(transform, invert(transform))[:, :2], np.eye(2))
        x1, y1, x2, y2 = locate_region(transform)
        assert x1 < x2
        assert y1 < y2


def test_what_several_looks_say_of_a_faces_landmarks_is_weighed() -> None:
    def look(x: float, grain: float, at: float, score: float = 0.8, *, fills: bool = False) -> RawDetections:
        box = np.array([[x, 0, x + 100, 100]], np.float32)
        landmarks, scores = np.full((1, 5, 2), at, np.float32), np.full(1, score, np.float32)
        return RawDetections(box, landmarks, scores, np.full(1, grain, np.float32), np.array([fills]))

    (fine, coarse) = merge([look(0, 1, 50), look(3, 2, 55)]), merge([look(3, 2, 55)])
    assert (len(fine), len(coarse)) == (1, 1)
    assert fine.boxes[0, 0] == 0  # the finest look's
    assert fine.landmarks[0, 0, 0] == pytest.approx((4 * 50 + 55) / 5)
    assert coarse.landmarks[0, 0, 0] == 55
    surer = merge([look(0, 1, 50, 0.9), look(0, 1, 56, 0.6)])
    assert surer.landmarks[0, 0, 0] == pytest.approx(50 + 6 * 0.6 / 1.5)
    filled = merge([look(0, 1, 50, fills=True), look(0, 2, 55)])
    assert filled.landmarks[0, 0, 0] == 55  # whom it fills sees worse
    assert merge([look(0, 1, 50), look(200, 1, 70)]).landmarks[:, 0, 0].tolist() == [50, 70]
    assert len(merge([NO_DETECTIONS, NO_DETECTIONS])) == 0


def test_landmarks_in_one_point_give_a_crop_all_the_same() -> None:
    transform = estimate_alignment(np.full((5, 2), 7.0))
    assert np.isfinite(transform).all()
    assert get_scale(transform) > 0


def test_the_optimized_graph_is_kept_and_gives_the_same_embeddings(pack: ModelPack, tmp_path: Path) -> None:
    crops = [np.full((112, 112, 3), 40 * level, np.uint8) for level in (1, 2, 3)]
    plain = ArcFace(Runtime(providers="cpu").open(pack.recognition), pack.recognition.path)
    runtime = Runtime(providers="cpu", cache=tmp_path / "graphs")
    first = ArcFace(runtime.open(pack.recognition), pack.recognition.path)
    (kept,) = (tmp_path / "graphs").iterdir()
    assert {file.name for file in kept.iterdir()} == {"graph.onnx", "weights.bin"}
    made = (kept / "graph.onnx").stat().st_mtime_ns
    again = ArcFace(Runtime(providers="cpu", cache=tmp_path / "graphs").open(pack.recognition), pack.recognition.path)
    assert (kept / "graph.onnx").stat().st_mtime_ns == made
    for one, two, three in zip(plain.embed(crops), first.embed(crops), again.embed(crops), strict=True):
        assert float(one @ two) == pytest.approx(1, abs=1e-5)
        assert np.array_equal(two, three)


def test_a_crops_embedding_does_not_depend_on_its_batch(pack: ModelPack) -> None:
    recognizer = ArcFace(Runtime(providers="cpu").open(pack.recognition), pack.recognition.path)
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, (112, 112, 3)).astype(np.uint8) for _ in range(5)]
    for alone, together in zip((recognizer.embed([crop])[0] for crop in crops), recognizer.embed(crops), strict=True):
        assert float(alone @ together) == pytest.approx(1, abs=1e-5)


def test_pictures_are_converted_as_opencv_does_whatever_a_thread_converted_before() -> None:
    rng = np.random.default_rng(4)
    converter = NetworkInput(127.5, 128)
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((64, 96), (640, 640), (32, 32), (704, 640))]
    expected = [cv2.dnn.blobFromImage(one, 1 / 128, one.shape[1::-1], (127.5,) * 3, swapRB=True) for one in pictures]

    def convert(index: int) -> bool:
        return np.array_equal(converter.convert(pictures[index]), expected[index])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(convert, [*range(4), *reversed(range(4))] * 20))


def test_who_looks_twice_sees_a_face_and_its_mirror_image_alike(pack: ModelPack) -> None:
    session = Runtime(providers="cpu").open(pack.recognition)
    once, twice = (ArcFace(session, pack.recognition.path, is_mirrored=mirrored) for mirrored in (False, True))
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 255, (112, 112, 3)).astype(np.uint8)
    mirror = np.ascontiguousarray(crop[:, ::-1])
    (one,), (other,) = twice.embed([crop]), twice.embed([mirror])
    assert float(one @ other) == pytest.approx(1, abs=1e-5)
    assert float(one @ one) == pytest.approx(1, abs=1e-5)
    assert float(once.embed([crop])[0] @ once.embed([mirror])[0]) < 0.99
    assert all(float(one @ single) > 0 for single in once.embed([crop, mirror]))


def test_what_is_no_detector_is_refused(pack: ModelPack) -> None:
    with pytest.raises(ModelPackRefused, match="1 outputs; SCRFD with landmarks has 9"):
        InsightFaceEngine(replace(pack, detection=pack.recognition), Runtime(providers="cpu"))


def test_only_what_runs_on_the_processor_can_be_inherited() -> None:
    assert Runtime(providers="cpu").can_be_inherited
    assert Runtime(providers="cpu").max_batch == 1


def test_calls_that_wait_at_the_same_moment_share_a_batch() -> None:
    gate, sizes = threading.Event(), list[int]()

    def work(items: Sequence[int]) -> list[int]:
        gate.wait()
        sizes.append(len(items))
        return [item * 10 for item in items]

    batcher = Batcher(work, max_items=8)
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(batcher.run, [index, index + 100]) for index in range(20)]
        gate.set()
        assert [call.result() for call in calls] == [[index * 10, (index + 100) * 10] for index in range(20)]
    assert max(sizes) <= 8
    assert sum(sizes) == 40
    assert len(sizes) < 20


def test_several_batches_run_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def work(items: Sequence[int]) -> list[int]:
        both.wait(timeout=60)  # breaks unless another batch runs
        return [item * 10 for item in items]

    batcher = Batcher(work, max_items=1, max_parallel=2)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(batcher.run, [index]) for index in range(8)]
        assert [call.result() for call in calls] == [[index * 10] for index in range(8)]


def test_an_error_reaches_everybody_in_its_batch_and_nobody_else() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise ModelPackRefused("no direction")
        return list(items)

    batcher = Batcher(work, max_items=2)
    with pytest.raises(ModelPackRefused):
        batcher.run([1, 3])
    assert batcher.run([1, 2, 4]) == [1, 2, 4]
    assert batcher.run([]) == []
