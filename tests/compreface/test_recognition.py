"""Recognize, verify and detect: the nearest subjects, similarities between 0 and 1, plugins."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.compreface.similarity import build_scales, show_similarity
from app.domain.decisions import Calibration
from tests import pictures
from tests.api.conftest import Account, Running
from tests.compreface.conftest import With, error, photo_of
from tests.compreface.test_faces import add

MEASURED = Calibration(((1e-2, 0.235), (1e-3, 0.321), (1e-4, 0.395), (1e-5, 0.458)), "a test")


def test_similarities_rise_with_the_cosine_through_the_calibration() -> None:
    scale = build_scales({"net": MEASURED})["net"]
    assert show_similarity(scale, 0.321) == pytest.approx(0.5, abs=1e-3)
    assert show_similarity(scale, 0.458) == pytest.approx(0.95, abs=1e-3)
    shown = [scale.share(step / 1000) for step in range(-900, 901)]
    assert shown == sorted(set(shown))
    assert 0 <= shown[0] < shown[-1] <= 1
    assert show_similarity(scale, None) == 0


async def test_the_nearest_subject_is_named_whatever_its_similarity(service: httpx.AsyncClient) -> None:
    await add(service, "ada", pictures.photo(1))
    await add(service, "bob", pictures.photo(2))
    (known,) = (await service.post("/recognition/recognize", **photo_of(pictures.photo(1, 1)))).json()["result"]
    assert [one["subject"] for one in known["subjects"]] == ["ada"]
    assert known["subjects"][0]["similarity"] > 0.5
    assert set(known) == {"box", "subjects"}
    assert 0 < known["box"]["probability"] <= 1
    assert known["box"]["x_min"] < known["box"]["x_max"] <= 320
    (stranger,) = (
        await service.post("/recognition/recognize?prediction_count=5", **photo_of(pictures.photo(9)))
    ).json()["result"]
    similarities = [one["similarity"] for one in stranger["subjects"]]
    assert len(similarities) == 2
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] < 0.5


async def test_an_empty_collection_names_nobody(service: httpx.AsyncClient) -> None:
    (face,) = (await service.post("/recognition/recognize", **photo_of(pictures.photo(1)))).json()["result"]
    assert face["subjects"] == []


async def test_anonymous_faces_are_not_named(service: httpx.AsyncClient, admin: Account) -> None:
    await add(service, "bob", pictures.photo(2))
    files = {"image": ("photo.jpg", pictures.photo(1), "image/jpeg")}
    await admin.client.post("/register/all", data={"collection": "people"}, files=files)
    (face,) = (await service.post("/recognition/recognize", **photo_of(pictures.photo(1)))).json()["result"]
    assert [one["subject"] for one in face["subjects"]] == ["bob"]


async def test_the_largest_faces_come_first_up_to_the_limit(service: httpx.AsyncClient) -> None:
    photo = photo_of(pictures.group(1, 2, 3))
    everyone = (await service.post("/recognition/recognize", **photo)).json()["result"]
    assert len(everyone) == 3
    two = (await service.post("/recognition/recognize?limit=2", **photo)).json()["result"]
    assert two == everyone[:2]
    none = await service.post("/recognition/recognize?det_prob_threshold=1", **photo)
    assert error(none) == (400, 28, "no_face")


async def test_plugins(service: httpx.AsyncClient, with_key: With, running: Running) -> None:
    query = {"face_plugins": "landmarks,calculator,age,gender,mask,pose", "status": "true"}
    answer = (await service.post("/recognition/recognize", params=query, **photo_of(pictures.photo(1)))).json()
    (face,) = answer["result"]
    assert set(face) == {"box", "subjects", "landmarks", "embedding", "pose"}
    assert [len(point) for point in face["landmarks"]] == [2] * 5
    assert sum(value**2 for value in face["embedding"]) == pytest.approx(1, abs=1e-3)
    assert set(face["pose"]) == {"pitch", "roll", "yaw"}
    assert answer["plugins_versions"]["calculator"] == running.state.recognizers.default
    without = await with_key(["recognize"])
    refused = await without.post("/recognition/recognize", params=query, **photo_of(pictures.photo(1)))
    assert error(refused) == (403, 1, "permission_denied")
    unknown = await service.post("/recognition/recognize?face_plugins=soul", **photo_of(pictures.photo(1)))
    assert error(unknown) == (400, 26, "invalid_parameter")


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "prediction_count=0", "prediction_count=101", "det_prob_threshold=2",
     "det_prob_threshold=nan", "status=perhaps"],
)  # fmt: skip
async def test_options_beyond_their_limits_are_refused(service: httpx.AsyncClient, query: str) -> None:
    answer = await service.post(f"/recognition/recognize?{query}", **photo_of(pictures.photo(1)))
    assert error(answer) == (400, 26, "invalid_parameter")


async def test_verify_compares_with_a_stored_face(service: httpx.AsyncClient) -> None:
    face = await add(service, "ada", pictures.photo(1))
    path = f"/recognition/faces/{face}/verify"
    (same,) = (await service.post(path, **photo_of(pictures.photo(1, 1)))).json()["result"]
    (other,) = (await service.post(path, **photo_of(pictures.photo(2)))).json()["result"]
    assert same["similarity"] > 0.5 > other["similarity"]
    missing = await service.post(f"/recognition/faces/{uuid4()}/verify", **photo_of(pictures.photo(1)))
    assert error(missing) == (404, 44, "face_not_found")
    nonsense = await service.post("/recognition/faces/1/verify", **photo_of(pictures.photo(1)))
    assert error(nonsense) == (400, 26, "invalid_parameter")


async def test_verification_compares_two_photos(service: httpx.AsyncClient) -> None:
    def photos(source: bytes, target: bytes) -> dict[str, Any]:
        return {"files": {"source_image": ("a.jpg", source), "target_image": ("b.jpg", target)}}

    path = "/verification/verify?face_plugins=calculator"
    answer = await service.post(path, **photos(pictures.photo(1), pictures.group(2, 1)))
    (result,) = answer.json()["result"]
    assert len(result["source_image_face"]["embedding"]) == 512
    same, other = result["face_matches"]
    assert same["similarity"] > 0.5 > other["similarity"]
    none = await service.post("/verification/verify", **photos(pictures.photo(1), pictures.landscape()))
    assert error(none) == (400, 28, "no_face")
    assert none.json()["message"].startswith("target_image: ")
    broken = await service.post("/verification/verify", **photos(b"no photo", pictures.photo(1)))
    assert error(broken)[:2] == (400, 21)
    half = await service.post("/verification/verify", files={"source_image": ("a.jpg", pictures.photo(1))})
    assert error(half) == (400, 26, "invalid_parameter")


async def test_detection(service: httpx.AsyncClient) -> None:
    photo = photo_of(pictures.group(1, 2))
    found = (await service.post("/detection/detect/?face_plugins=landmarks", **photo)).json()["result"]
    assert [set(face) for face in found] == [{"box", "landmarks"}] * 2
    with_embeddings = (await service.post("/detection/detect?face_plugins=calculator", **photo)).json()["result"]
    assert [len(face["embedding"]) for face in with_embeddings] == [512, 512]
    assert error(await service.post("/detection/detect", **photo_of(pictures.landscape()))) == (400, 28, "no_face")


async def test_embeddings_are_recognized_and_verified(service: httpx.AsyncClient, with_key: With) -> None:
    face = await add(service, "ada", pictures.photo(1))
    await add(service, "bob", pictures.photo(2))
    query = "/recognition/recognize?face_plugins=calculator"
    (found,) = (await service.post(query, **photo_of(pictures.photo(1, 1)))).json()["result"]
    body = {"embeddings": [found["embedding"], [-value for value in found["embedding"]]]}
    answer = await service.post("/recognition/embeddings/recognize?prediction_count=2", json=body)
    near, far = answer.json()["result"]
    assert near["embedding"] == found["embedding"]
    assert near["similarities"][0] == found["subjects"][0]
    assert {one["subject"] for one in far["similarities"]} == {"ada", "bob"}
    verified = await service.post(f"/recognition/embeddings/faces/{face}/verify", json=body)
    expected = pytest.approx(found["subjects"][0]["similarity"], abs=1e-3)  # stored embeddings have half precision
    assert verified.json()["result"][0]["similarity"] == expected
    assert verified.json()["result"][1]["similarity"] < 0.01
    only_recognize = await with_key(["recognize"])
    refused = await only_recognize.post("/recognition/embeddings/recognize", json=body)
    assert error(refused) == (403, 1, "permission_denied")


@pytest.mark.parametrize(
    "embeddings",
    [None, [], {}, [[]], [[1.0]], [[0.0] * 512], [["x"] * 512], [[True] * 512], [[1e300] * 512], [[1.0] * 128],
     [[float("nan")] * 512], [[0.1] * 512] * 21],
)  # fmt: skip
async def test_embeddings_that_are_none_are_refused(service: httpx.AsyncClient, embeddings: object) -> None:
    answer = await service.post("/recognition/embeddings/recognize", content=json.dumps({"embeddings": embeddings}))
    assert error(answer) == (400, 26, "invalid_parameter")


async def test_a_face_of_too_low_quality_resembles_nobody(service: httpx.AsyncClient, running: Running) -> None:
    from app.domain import faces

    await add(service, "ada", pictures.photo(1))
    photo = photo_of(pictures.photo(1))
    (clear,) = (await service.post("/recognition/recognize", **photo)).json()["result"]
    assert clear["subjects"][0]["similarity"] > 0.9
    if running.state.faces.engine.rates_quality:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faces, "RELIABLE_FROM", 101.0)
            (poor,) = (await service.post("/recognition/recognize", **photo)).json()["result"]
        assert poor["subjects"] == [{"similarity": 0.0, "subject": "ada"}]
