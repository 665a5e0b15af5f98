"""Photos of real people that lie on their side or upside down are found as if they were upright."""

import cv2
import numpy as np
import pytest

from app.domain.faces import QualityReason
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from tests.model.test_real_pack import PACK, PHOTOS, pytestmark

__all__ = ["pytestmark"]

PEOPLE = 40
TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


@pytest.fixture(scope="module")
def analyzer() -> FaceAnalyzer:
    return build_analyzer(Settings(model_pack=str(PACK)))


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    folders = sorted(folder for folder in PHOTOS.iterdir() if folder.is_dir())[1::2]
    chosen = np.random.default_rng(11).permutation(len(folders))[:PEOPLE]
    return [np.asarray(cv2.imread(str(min(folders[index].glob("*.jpg")))), np.uint8) for index in chosen]


def encode(picture: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


@pytest.mark.parametrize("rotation", TURNS)
def test_turned_people_match_their_upright_photo(
    analyzer: FaceAnalyzer, photos: list[np.ndarray], rotation: int
) -> None:
    matching = turned_right = 0
    for photo in photos:
        upright = analyzer.analyze(encode(photo), Embed.LARGEST)
        turned = analyzer.analyze(encode(np.asarray(cv2.rotate(photo, TURNS[rotation]))), Embed.LARGEST)
        assert [face.rotation for face in upright.faces][:1] == [0]
        if turned.faces:
            matching += float(upright.embeddings[0] @ turned.embeddings[0]) > 0.5
            turned_right += turned.faces[0].rotation == rotation
    assert matching >= 0.92 * PEOPLE
    assert turned_right >= 0.92 * PEOPLE


def test_half_faces_are_not_acceptable(analyzer: FaceAnalyzer, photos: list[np.ndarray]) -> None:
    found = named = 0
    for photo in photos:
        (face, *_) = analyzer.analyze(encode(photo), Embed.NONE).faces
        below_the_eyes = photo[round((face.landmarks[0][1] + face.landmarks[1][1]) / 2) :]
        half = analyzer.analyze(encode(below_the_eyes), Embed.LARGEST)
        if half.faces:
            found += 1
            reasons = {finding.reason for finding in half.faces[0].quality.findings}
            named += bool(reasons & {QualityReason.CUT_OFF, QualityReason.UNRELIABLE})
    assert found > PEOPLE / 2
    assert named >= 0.95 * found
