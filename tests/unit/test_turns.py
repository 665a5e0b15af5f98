"""Photos that lie on their side or upside down: their faces are found as if they were upright."""

import io

import numpy as np
import pytest
from PIL import Image

from app.ml.analysis import Embed, FaceAnalyzer
from app.ml.image import ImageLimits, open_photo
from app.ml.turns import TURNS
from tests import pictures

LIMITS = ImageLimits(max_bytes=10**7, max_pixels=10**7)


def turn_back(data: bytes, rotation: int) -> bytes:
    """The photo as a camera saves it that was held the other way: `rotation` clockwise makes it upright again."""
    return pictures.encode(Image.open(io.BytesIO(data)).rotate(rotation, expand=True), "PNG")


@pytest.mark.parametrize("rotation", TURNS)
def test_a_turned_face_is_found_as_the_upright_one(analyzer: FaceAnalyzer, rotation: int) -> None:
    upright, turned = pictures.photo(4, 1), turn_back(pictures.photo(4, 1), rotation)
    expected, found = (analyzer.analyze(data, Embed.ALL) for data in (upright, turned))
    assert [face.rotation for face in expected.faces] == [0]
    assert [face.rotation for face in found.faces] == [rotation]
    assert float(expected.embeddings[0] @ found.embeddings[0]) > 0.99
    assert found.faces[0].quality.is_acceptable
    assert abs(found.faces[0].quality.yaw_deg - expected.faces[0].quality.yaw_deg) < 5


@pytest.mark.parametrize("rotation", TURNS)
def test_boxes_and_landmarks_are_in_the_photo_as_it_is(analyzer: FaceAnalyzer, rotation: int) -> None:
    group = pictures.group(1, 2, 3)
    upright = analyzer.analyze(group, Embed.NONE)
    turned = analyzer.analyze(turn_back(group, rotation), Embed.NONE)
    assert {turned.width, turned.height} == {upright.width, upright.height}
    assert len(turned.faces) == len(upright.faces) == 3
    for face in turned.faces:
        x, y = face.box.x + face.box.width / 2, face.box.y + face.box.height / 2
        back = {90: (turned.height - y, x), 180: (turned.width - x, turned.height - y), 270: (y, turned.width - x)}
        expected = min(
            upright.faces,
            key=lambda other: abs(other.box.x + other.box.width / 2 - back[rotation][0]),
        )
        center = expected.box.x + expected.box.width / 2, expected.box.y + expected.box.height / 2
        assert back[rotation] == pytest.approx(center, abs=3)
        assert (face.box.width, face.box.height) == pytest.approx(
            (expected.box.height, expected.box.width) if rotation != 180 else (expected.box.width, expected.box.height),
            abs=4,
        )
        assert face.box.x < face.landmarks[2][0] < face.box.x + face.box.width
        assert face.box.y < face.landmarks[2][1] < face.box.y + face.box.height


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("degrees", TURNS)
def test_a_turned_photo_shows_the_turned_pixels(orientation: int, degrees: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = open_photo(pictures.encode(pictures.portrait(3).crop((0, 0, 160, 240)), "PNG", exif=exif), LIMITS)
    turned = photo.turn(degrees)
    pixels = photo.render((0, 0, photo.width, photo.height), photo.width, photo.height)
    seen = turned.render((0, 0, turned.width, turned.height), turned.width, turned.height)
    assert np.array_equal(seen, np.rot90(pixels, -degrees // 90))


def test_a_photo_without_people_is_searched_in_every_turn_and_stays_empty(analyzer: FaceAnalyzer) -> None:
    assert analyzer.analyze(pictures.landscape(), Embed.ALL).faces == ()
