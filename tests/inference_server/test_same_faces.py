"""Faces and embeddings are the same whether the networks run here or at an inference server."""

import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image

from app.domain.collections import Recognizers
from app.domain.faces import Analysis, Detail, Face
from app.errors import AppError, ImageEmpty, ImageRefused, ImageTooLarge, ImageTooManyPixels, ImageUnreadable
from app.ml.analysis import Chooser, Embed, FaceAnalyzer
from app.ml.finding import FaceFinder
from app.settings import Settings
from app.wiring.analyzer import build_analyzer, client_of
from tests import pictures
from tests.inference_server.servers import TOKEN, serving_inference, settings_of_server


def assert_same(one: Analysis, other: Analysis) -> None:
    """Both say the same, up to the last digits of 32-bit numbers."""
    assert (one.width, one.height, one.left_out, one.embedded) == (
        other.width,
        other.height,
        other.left_out,
        other.embedded,
    )
    assert len(one.faces) == len(other.faces)
    for first, second in zip(one.faces, other.faces, strict=True):
        assert (first.rotation, first.attributes) == (second.rotation, second.attributes)
        assert _numbers(first) == pytest.approx(_numbers(second), rel=1e-4, abs=1e-3)
        assert [finding.reason for finding in first.quality.findings] == [
            finding.reason for finding in second.quality.findings
        ]
    for mine, theirs in ((one.embeddings, other.embeddings), (one.secondary, other.secondary)):
        assert len(mine) == len(theirs)
        for first_embedding, second_embedding in zip(mine, theirs, strict=True):
            assert np.abs(first_embedding - second_embedding).max() < 1e-5


def _numbers(face: Face) -> list[float]:
    quality = face.quality
    return [
        face.box.x,
        face.box.y,
        face.box.width,
        face.box.height,
        face.detection_score,
        *(coordinate for point in face.landmarks for coordinate in point),
        quality.face_pixels,
        quality.sharpness,
        quality.brightness,
        quality.yaw_deg,
        quality.pitch_deg,
        quality.roll_deg,
        quality.visible_share,
        quality.score or -1,
        quality.embedding_length or -1,
    ]


def turn(data: bytes, degrees: int) -> bytes:
    return pictures.encode(Image.open(io.BytesIO(data)).rotate(degrees, expand=True))


def smallest(faces: Sequence[Face]) -> list[int]:
    return [len(faces) - 1] if faces else []


@pytest.mark.parametrize("embed", [*Embed, smallest], ids=lambda embed: getattr(embed, "name", "chooser"))
def test_every_choice_of_faces(analyzer: FaceAnalyzer, remote: FaceAnalyzer, embed: Embed | Chooser) -> None:
    for photo in (pictures.photo(1), pictures.group(1, 2, 3), pictures.landscape(), pictures.small(1)):
        assert_same(analyzer.analyze(photo, embed), remote.analyze(photo, embed))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_photos(analyzer: FaceAnalyzer, remote: FaceAnalyzer, degrees: int) -> None:
    photo = turn(pictures.photo(3), degrees)
    found = remote.analyze(photo, Embed.ALL)
    assert_same(analyzer.analyze(photo, Embed.ALL), found)
    assert_same(analyzer.analyze(photo, Embed.ALL, may_turn=False), remote.analyze(photo, Embed.ALL, may_turn=False))


@pytest.mark.parametrize("detail", list(Detail))
def test_details_and_formats(analyzer: FaceAnalyzer, remote: FaceAnalyzer, detail: Detail) -> None:
    for form in ("PNG", "WEBP", "HEIF"):
        photo = pictures.encode(pictures.portrait(5), form)
        assert_same(analyzer.analyze(photo, Embed.ALL, detail), remote.analyze(photo, Embed.ALL, detail))


def test_photos_that_wait_share_calls_and_keep_their_own_answers(
    analyzer: FaceAnalyzer, elsewhere: Settings, server: str
) -> None:
    remote = build_analyzer(elsewhere.model_copy(update={"inference_calls": 1}))
    photos = [pictures.photo(seed) for seed in range(24)]
    photos[3] = b"no photo"

    def analyze(photo: bytes) -> Analysis | AppError:
        try:
            return remote.analyze(photo, Embed.ALL)
        except ImageRefused as exc:
            return exc

    before = count_calls(server)
    with ThreadPoolExecutor(len(photos)) as pool:
        found = list(pool.map(analyze, photos))
    assert count_calls(server) - before < len(photos)
    assert isinstance(found[3], ImageUnreadable)
    for index, (photo, one) in enumerate(zip(photos, found, strict=True)):
        if index != 3:
            assert isinstance(one, Analysis)
            assert_same(analyzer.analyze(photo, Embed.ALL), one)
    _close(remote)


def count_calls(server: str) -> int:
    text = httpx.get(f"{server}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
    counted = re.search(r'vultus_requests_total{method="POST",route="/extract",status="200"} (\d+)', text)
    return int(counted[1]) if counted else 0


def test_bad_photos_have_the_errors_they_have_here(
    analyzer: FaceAnalyzer, remote: FaceAnalyzer, settings: Settings
) -> None:
    too_large = pictures.photo(1) + b"\0" * settings.max_image_bytes
    cut = pictures.encode(pictures.portrait(1, side=640), quality=95)
    bad = (b"", b"no photo", pictures.bomb(), too_large, pictures.animation("GIF"), cut[: len(cut) // 2])
    for photo, kind in zip(bad, (ImageEmpty, ImageUnreadable, ImageTooManyPixels, ImageTooLarge), strict=False):
        with pytest.raises(kind):
            remote.analyze(photo, Embed.ALL)
    for photo in bad:
        with pytest.raises(ImageRefused) as here:
            analyzer.analyze(photo, Embed.ALL)
        with pytest.raises(ImageRefused) as there:
            remote.analyze(photo, Embed.ALL)
        assert (there.value.code, there.value.detail) == (here.value.code, here.value.detail)


def test_the_limits_of_this_side_count(remote: FaceAnalyzer, elsewhere: Settings) -> None:
    strict = elsewhere.model_copy(
        update={"max_faces_per_image": 1, "max_image_pixels": 200_000, "min_sharpness": 1e9, "min_face_pixels": 60}
    )
    analyzer = build_analyzer(strict)
    group = pictures.group(1, 2)
    found = analyzer.analyze(group, Embed.ALL)
    assert (len(found.faces), found.left_out) == (1, 1)
    assert "blurred" in [finding.reason for finding in found.faces[0].quality.findings]
    assert not remote.analyze(group, Embed.ALL).faces[0].quality.findings
    with pytest.raises(ImageTooManyPixels, match="200000"):
        analyzer.analyze(pictures.encode(pictures.portrait(1, side=640)), Embed.ALL)
    _close(analyzer)


def test_pictures_of_faces_are_cut_here(analyzer: FaceAnalyzer, remote: FaceAnalyzer) -> None:
    photo = pictures.group(4, 5)
    found = remote.analyze(photo, Embed.ALL)
    assert remote.cut_faces(photo, found.faces) == analyzer.cut_faces(photo, found.faces)


def test_a_secondary_recognizer_has_its_own_embeddings(settings: Settings, other_pack: object) -> None:
    two = settings.model_copy(update={"extra_model_packs": [str(other_pack)]})
    here = build_analyzer(two)
    env = {**settings_of_server(settings), "VULTUS_EXTRA_MODEL_PACKS": str(other_pack)}
    with serving_inference(env) as (address, _):
        there = build_analyzer(two.model_copy(update={"inference_url": address}))
        there.warm_up()
        assert list(there.engine.infos) == list(here.engine.infos)
        recognizers = Recognizers(*_names(here.engine))
        photo = pictures.group(7, 8)
        found = there.analyze(photo, Embed.ALL, recognizers=recognizers)
        assert len(found.secondary) == 2
        assert_same(here.analyze(photo, Embed.ALL, recognizers=recognizers), found)
        swapped = Recognizers(recognizers.secondary or "", recognizers.in_use)
        turned = there.analyze(photo, Embed.ALL, recognizers=swapped)
        assert np.abs(turned.embeddings[0] - found.secondary[0]).max() < 1e-5
        _close(there)


def test_what_is_known_of_the_recognizer_is_the_same(analyzer: FaceAnalyzer, remote: FaceAnalyzer) -> None:
    here, there = analyzer.engine.info, remote.engine.info
    assert replace(there, providers=here.providers, precision=here.precision, can_be_inherited=True) == replace(
        here, can_be_inherited=True
    )


def _names(finder: FaceFinder) -> list[str]:
    return list(finder.infos)


def _close(analyzer: FaceAnalyzer) -> None:
    client = client_of(analyzer)
    assert client is not None
    client.close()
