"""Recognising, verifying, comparing, detecting, extracting."""

import numpy as np
import pytest

from app.permissions import Role
from tests import pictures
from tests.api.conftest import Account, WithRole, problem


async def test_every_face_of_a_group_gets_its_candidates(admin: Account) -> None:
    for seed in (1, 2, 3):
        await admin.register(f"p{seed}", pictures.photo(seed), pictures.photo(seed, take=1), name=f"Person {seed}")
    answer = await admin.send("/recognize", pictures.group(3, 9, 1), limit="2")
    assert answer.status_code == 200
    body = answer.json()
    assert body["image"] == {"width": 740, "height": 360}
    faces = sorted(body["faces"], key=lambda face: face["box"]["x"])
    best = [face["candidates"][0] for face in faces]
    assert [(one["subject"], one["decision"]) for one in (best[0], best[2])] == [("p3", "match"), ("p1", "match")]
    assert best[1]["decision"] == "no_match"
    for face in faces:
        assert len(face["candidates"]) == 2
        similarities = [candidate["similarity"] for candidate in face["candidates"]]
        assert similarities == sorted(similarities, reverse=True)
        assert face.keys() >= {"box", "landmarks", "detection_score", "quality"}


async def test_the_threshold_changes_decisions_and_never_the_ranking(ada: Account) -> None:
    strict = (await ada.send("/recognize", pictures.photo(1, take=1), threshold="1")).json()
    lenient = (await ada.send("/recognize", pictures.photo(1, take=1), threshold="-1")).json()
    assert strict["threshold"] == 1
    assert strict["faces"][0]["candidates"][0]["decision"] == "no_match"
    assert lenient["faces"][0]["candidates"][0]["decision"] == "match"
    assert (
        strict["faces"][0]["candidates"][0]["similarity"] == lenient["faces"][0]["candidates"][0]["similarity"]
    )  # fmt: skip


async def test_an_empty_collection_has_no_candidates(admin: Account) -> None:
    (face,) = (await admin.send("/recognize", pictures.photo(1))).json()["faces"]
    assert face["candidates"] == []


async def test_a_blurred_face_is_searched_all_the_same_and_says_so(ada: Account) -> None:
    (face,) = (await ada.send("/recognize", pictures.blurred(1))).json()["faces"]
    assert not face["quality"]["acceptable"]
    assert face["quality"]["reasons"][0]["reason"] == "blurred"
    assert len(face["candidates"]) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit": "-1"}, "limit"), ({"limit": "0"}, "limit"), ({"limit": "101"}, "limit"), ({"limit": "x"}, "limit"),
        ({"threshold": "7"}, "threshold"), ({"threshold": "nan"}, "threshold"), ({"threshold": "inf"}, "threshold"),
        ({"collection": "a b"}, "collection"),
    ],
)  # fmt: skip
async def test_a_bad_parameter_names_field_limit_and_value(admin: Account, fields: dict[str, str], field: str) -> None:
    answer = await admin.send("/recognize", pictures.photo(1), **fields)
    assert problem(answer) == "422 invalid_parameter"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["value"] == fields[field]
    assert field in answer.json()["detail"]


async def test_nobody_in_the_picture_and_no_such_collection(admin: Account) -> None:
    assert problem(await admin.send("/recognize", pictures.landscape())) == "422 no_face"
    answer = await admin.send("/recognize", pictures.photo(1), collection="nope")
    assert problem(answer) == "404 collection_not_found"


async def test_another_tenants_people_are_never_recognised(ada: Account, stranger: Account) -> None:
    (face,) = (await stranger.send("/recognize", pictures.photo(1))).json()["faces"]
    assert face["candidates"] == []
    await ada.client.post("/collections", json={"name": "secret"})
    answer = await stranger.send("/recognize", pictures.photo(1), collection="secret")
    assert problem(answer) == "404 collection_not_found"


async def test_collections_do_not_see_each_other(ada: Account) -> None:
    await ada.client.post("/collections", json={"name": "other"})
    (face,) = (await ada.send("/recognize", pictures.photo(1), collection="other")).json()["faces"]
    assert face["candidates"] == []


async def test_verifying_the_right_and_the_wrong_person(ada: Account) -> None:
    right = (await ada.send("/verify", pictures.photo(1, take=1), subject="ada")).json()
    wrong = (await ada.send("/verify", pictures.photo(2), subject="ada")).json()
    assert (right["decision"], wrong["decision"]) == ("match", "no_match")
    assert right["similarity"] >= right["threshold"] > wrong["similarity"]


async def test_what_cannot_be_verified(ada: Account, stranger: Account) -> None:
    assert problem(await ada.send("/verify", pictures.photo(1), subject="bob")) == "404 subject_not_found"
    assert problem(await stranger.send("/verify", pictures.photo(1), subject="ada")) == "404 subject_not_found"
    assert problem(await ada.send("/verify", pictures.group(1, 2), subject="ada")) == "422 several_faces"
    largest = await ada.send("/verify", pictures.group(1, 2), subject="ada", face="largest")
    assert largest.status_code == 200
    assert problem(await ada.send("/verify", pictures.photo(1))) == "422 invalid_parameter"
    await ada.client.post("/collections/default/subjects", json={"subject": "faceless"})
    assert problem(await ada.send("/verify", pictures.photo(1), subject="faceless")) == "404 face_not_found"


async def test_comparing_the_largest_source_face_with_every_target_face(admin: Account) -> None:
    files = {
        "source": ("s.jpg", pictures.photo(2), "image/jpeg"),
        "target": ("t.jpg", pictures.group(5, 2, 8), "image/jpeg"),
    }
    body = (await admin.client.post("/compare", files=files)).json()
    assert [target["decision"] for target in body["targets"]] == ["match", "no_match", "no_match"]
    assert body["targets"][0]["box"]["x"] == pytest.approx(140 + 230 - 60, abs=12)
    assert (await admin.client.get("/collections/default")).json()["templates"] == 0


async def test_comparing_needs_a_face_on_both_sides(admin: Account) -> None:
    files = {"source": ("s.jpg", pictures.landscape()), "target": ("t.jpg", pictures.photo(1))}
    assert problem(await admin.client.post("/compare", files=files)) == "422 no_face"
    one_side = {"source": ("s.jpg", pictures.photo(1))}
    assert problem(await admin.client.post("/compare", files=one_side)) == "422 invalid_parameter"


async def test_detecting_and_extracting_are_stateless_and_may_find_nobody(admin: Account) -> None:
    detected = (await admin.send("/detect", pictures.group(1, 2))).json()
    assert len(detected["faces"]) == 2
    assert "embedding" not in detected["faces"][0]
    extracted = (await admin.send("/extract", pictures.group(1, 2))).json()
    assert [len(face["embedding"]) for face in extracted["faces"]] == [512, 512]
    assert np.linalg.norm(extracted["faces"][0]["embedding"]) == pytest.approx(1, abs=1e-4)
    for path in ("/detect", "/extract"):
        assert (await admin.send(path, pictures.landscape())).json()["faces"] == []
    assert (await admin.client.get("/collections/default")).json()["templates"] == 0


async def test_viewers_recognise_operators_register_admins_delete(ada: Account, with_role: WithRole) -> None:
    viewer, operator = await with_role(Role.VIEWER), await with_role(Role.OPERATOR)
    photo = pictures.photo(1)
    assert (await viewer.send("/recognize", photo)).status_code == 200
    assert (await viewer.send("/verify", photo, subject="ada")).status_code == 200
    assert (await viewer.send("/detect", photo)).status_code == 200
    assert problem(await viewer.send("/extract", photo)) == "403 permission_denied"
    assert problem(await viewer.register("bob", photo)) == "403 permission_denied"
    assert problem(await viewer.client.delete("/collections/default/subjects/ada")) == "403 permission_denied"
    assert (await operator.register("bob", pictures.photo(2))).status_code == 201
    assert (await operator.send("/extract", photo)).status_code == 200
    assert problem(await operator.client.delete("/collections/default/subjects/bob")) == "403 permission_denied"
    assert (await ada.client.delete("/collections/default/subjects/bob")).status_code == 204
