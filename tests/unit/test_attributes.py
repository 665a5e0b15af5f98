"""Age and gender against InsightFace's own code, on the same network."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.app.common import Face as TheirFace
from insightface.model_zoo.attribute import Attribute
from numpy.typing import NDArray
from PIL import Image

from app.errors import ModelPackRefused
from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.attributes import AttributeNetwork
from app.ml.engine import Detection
from app.ml.image import ImageLimits, open_photo
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import ModelFile
from app.ml.photo import Photo
from app.ml.pixels import Pixels
from app.ml.sessions import Runtime
from app.ml.synthetic.graph import GraphBuilder
from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from tests import pictures
from tests.attribute_network import add_attribute_network, build_attribute_network

LIMITS = ImageLimits(max_bytes=10**7, max_pixels=10**7)
PLAIN = [(), ("Sub_0",), ("n0", "n1", "n2", "bn_data")]
NORMALIZING = [("Sub_0", "Mul_1"), ("_minusscalar0", "_mulscalar0"), ("bn_data",)]
SMALL = [(200.0, 100.0, 300.0, 210.0), (-30.5, -20.25, 60.0, 80.0), (560.2, 400.7, 660.9, 500.1), (10, 470, 50, 490)]
LARGE = [(120.0, 90.0, 420.0, 400.0), (-100.0, -80.0, 300.0, 320.0)]
Box = tuple[float, float, float, float]


def open_networks(directory: Path, content: bytes) -> tuple[AttributeNetwork, Attribute]:
    path = directory / "genderage.onnx"
    path.write_bytes(content)
    session = Runtime(providers="cpu").open_small(ModelFile(path, ""))
    return AttributeNetwork(session, path), Attribute(str(path), session)


def draw(seed: int, orientation: int = 1) -> Photo:
    people = [(Person(seed + 10 * k), Placement(120 + 200 * k, 240, 80 + 15 * k), Variation()) for k in range(3)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return open_photo(pictures.encode(draw_group(people, (640, 480))[0], "PNG", exif=exif), LIMITS)


def all_pixels(photo: Photo) -> Pixels:
    return photo.render((0, 0, photo.width, photo.height), photo.width, photo.height)


def ask_insightface(network: Attribute, pixels: Pixels, box: Box) -> tuple[int, int, NDArray[np.float32]]:
    """Their gender (1 is male), their age, and the raw numbers of the network."""
    face = TheirFace(bbox=np.array(box, np.float32))
    network.taskname = "raw"
    raw = network.get(pixels, face)
    network.taskname = "genderage"
    gender, age = network.get(pixels, face)
    return int(gender), int(age), raw


@pytest.mark.parametrize("node_names", PLAIN + NORMALIZING)
def test_a_face_is_estimated_as_by_insightface(tmp_path: Path, node_names: tuple[str, ...]) -> None:
    content = build_attribute_network(node_names, normalizes=node_names in NORMALIZING)
    ours, theirs = open_networks(tmp_path, content)
    seen = set()
    for photo in (draw(1), draw(2), draw(3)):
        for box in SMALL:
            found = ours.estimate(photo, box)
            gender, age, (female, male, hundredths) = ask_insightface(theirs, all_pixels(photo), box)
            assert (found.is_male, found.age) == (bool(gender), age)
            scores = np.exp([female, male])
            assert found.gender_score == pytest.approx(scores.max() / scores.sum(), abs=1e-4)
            assert found.age == pytest.approx(100 * hundredths, abs=0.51)
            seen.add((found.is_male, found.age))
    assert len(seen) > 3
    assert {is_male for is_male, _ in seen} == {True, False}


def test_large_faces_are_estimated_as_by_insightface_in_a_smaller_picture(tmp_path: Path) -> None:
    ours, theirs = open_networks(tmp_path, build_attribute_network())
    for photo in (draw(1), draw(2), draw(3)):
        for box in LARGE:
            found = ours.estimate(photo, box)
            smaller = cv2.resize(all_pixels(photo), (160, 120), interpolation=cv2.INTER_AREA)
            x1, y1, x2, y2 = (edge / 4 - 3 / 8 for edge in box)  # the first pixel is the mean of the first four
            gender, age, _ = ask_insightface(theirs, np.asarray(smaller, np.uint8), (x1, y1, x2, y2))
            assert (found.is_male, found.age) == (bool(gender), age)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_upright_photo(tmp_path: Path, orientation: int) -> None:
    ours, theirs = open_networks(tmp_path, build_attribute_network())
    photo = draw(4, orientation)
    for box in SMALL:
        found = ours.estimate(photo, box)
        gender, age, _ = ask_insightface(theirs, all_pixels(photo), box)
        assert (found.is_male, found.age) == (bool(gender), age)


def test_a_face_in_a_turn_is_estimated_upright(tmp_path: Path, synthetic_pack: Path) -> None:
    pack = PackLibrary(cache=tmp_path, data_dir=tmp_path).find(
        str(add_attribute_network(synthetic_pack, tmp_path / "pack"))
    )
    assert pack.attributes is not None
    engine = InsightFaceEngine(pack, Runtime(providers="cpu"))
    theirs = Attribute(str(pack.attributes.path))
    photo = draw(5)
    for x1, y1, x2, y2 in SMALL:
        width, height = photo.width, photo.height
        for rotation, box in (
            (0, (x1, y1, x2, y2)),
            (90, (height - y2, x1, height - y1, x2)),
            (180, (width - x2, height - y2, width - x1, height - y1)),
            (270, (y1, width - x2, y2, width - x1)),
        ):
            detection = Detection((x1, y1, x2, y2), np.zeros((5, 2), np.float32), 0.9, rotation)
            (found,) = engine.estimate_attributes(photo, [detection])
            turned = np.ascontiguousarray(np.rot90(all_pixels(photo), -rotation // 90))
            gender, age, _ = ask_insightface(theirs, turned, box)
            assert found is not None
            assert (found.is_male, found.age) == (bool(gender), age)


def test_only_requests_that_ask_run_the_network(
    tmp_path: Path, synthetic_pack: Path, settings: Settings, analyzer: FaceAnalyzer
) -> None:
    pack = add_attribute_network(synthetic_pack, tmp_path / "pack")
    able = build_analyzer(settings.model_copy(update={"model_pack": str(pack)}))
    able.warm_up()
    group = pictures.group(1, 2, 3)
    assert [face.attributes for face in able.analyze(group, Embed.ALL).faces] == [None] * 3
    assert [face.attributes for face in analyzer.analyze(group, Embed.ALL, with_attributes=True).faces] == [None] * 3
    plain, embedded = (able.analyze(group, embed, with_attributes=True) for embed in (Embed.NONE, Embed.ALL))
    assert [face.attributes for face in plain.faces] == [face.attributes for face in embedded.faces]
    assert all(face.attributes is not None and face.attributes.gender_score >= 0.5 for face in plain.faces)
    assert "gender" not in repr(plain)
    on_its_side = pictures.encode(Image.open(io.BytesIO(group)).rotate(90, expand=True), "PNG")
    turned = able.analyze(on_its_side, Embed.ALL, with_attributes=True)
    assert [(face.rotation, face.attributes is not None) for face in turned.faces] == [(90, True)] * 3


def test_numbers_that_are_no_estimates_are_clipped_or_refused(tmp_path: Path) -> None:
    def network(value: float) -> AttributeNetwork:
        graph = GraphBuilder()
        mean = graph.node("ReduceMean", "data", axes=[2, 3], keepdims=0)
        graph.node("Add", graph.node("Mul", mean, 0.0), value, name="fc1")
        return open_networks(tmp_path, graph.build({"data": [1, 3, 96, 96]}, {"fc1": [1, 3]}))[0]

    for value, age in ((-1.0, 0), (5.0, 120)):
        found = network(value).estimate(draw(1), (0, 0, 0, 0))  # a box without an area is possible
        assert (found.age, found.is_male, found.gender_score) == (age, False, 0.5)
    with pytest.raises(ModelPackRefused, match="three finite numbers"):
        network(float("nan")).estimate(draw(1), (0, 0, 90, 90))
