"""Recognizing, verifying, comparing, detecting, extracting."""

import httpx
import numpy as np
import pytest
from sqlalchemy import text

from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group
from app.permissions import Permission, Plan, Quota, Role
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory
from app.persistence.repositories.usage import UsageRepository
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
    assert strict["faces"][0]["candidates"][0]["similarity"] == lenient["faces"][0]["candidates"][0]["similarity"]


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
        ({"limit": "-1"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"threshold": "7"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"threshold": "inf"}, "threshold"),
        ({"collection": "a b"}, "collection"),
    ],
)
async def test_a_bad_parameter_names_field_limit_and_value(admin: Account, fields: dict[str, str], field: str) -> None:
    answer = await admin.send("/recognize", pictures.photo(1), **fields)
    assert problem(answer) == "422 invalid_parameter"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["value"] == fields[field]
    assert field in answer.json()["detail"]


async def test_no_such_collection(admin: Account) -> None:
    answer = await admin.send("/recognize", pictures.photo(1), collection="nope")
    assert problem(answer) == "404 collection_not_found"


async def test_another_tenants_people_are_never_recognized(ada: Account, stranger: Account) -> None:
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


async def test_viewers_recognize_operators_register_admins_delete(ada: Account, with_role: WithRole) -> None:
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
    assert (await ada.client.delete("/collections/default/subjects/bob")).status_code == 200


async def send_several(account: Account, path: str, *images: bytes, **fields: str) -> httpx.Response:
    files = [("images", (f"{index}.jpg", data, "image/jpeg")) for index, data in enumerate(images)]
    return await account.client.post(path, data=fields, files=files)


async def test_a_batch_answers_for_each_image(ada: Account) -> None:
    photos = (pictures.photo(1, take=2), pictures.landscape(), b"no image", pictures.group(1, 2))
    answer = await send_several(ada, "/recognize/batch", *photos)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [item["index"] for item in items] == [0, 1, 2, 3]
    first, nobody, broken, group = items
    assert first["answer"]["faces"][0]["candidates"][0]["subject"] == "ada"
    assert first["problem"] is None
    assert (nobody["answer"]["faces"], nobody["problem"]) == ([], None)
    assert broken["answer"] is None
    told = broken["problem"]
    assert [told[name] for name in ("status", "code", "field", "index")] == [422, "image_unreadable", "images", 2]
    assert len(group["answer"]["faces"]) == 2
    for photo, item in zip(photos, items, strict=True):
        alone = await ada.send("/recognize", photo)
        if item["problem"] is None:
            assert (alone.status_code, alone.json()) == (200, item["answer"])
        else:
            assert problem(alone) == f"{told['status']} {told['code']}"


async def test_a_batch_of_embeddings_is_that_of_each_image(ada: Account) -> None:
    photos = [pictures.photo(seed) for seed in range(5)]
    items = (await send_several(ada, "/extract/batch", *photos, pictures.landscape())).json()["items"]
    for photo, item in zip(photos, items, strict=False):
        alone, answer = (await ada.send("/extract", photo)).json(), item["answer"]
        assert alone["recognizer"] == answer["recognizer"]
        assert np.dot(alone["faces"][0]["embedding"], answer["faces"][0]["embedding"]) == pytest.approx(1, abs=1e-3)
    assert (items[5]["answer"]["faces"], items[5]["problem"]) == ([], None)


async def test_a_batch_counts_its_images_and_its_limits_are_named(ada: Account, database: Database) -> None:
    async def used() -> int:
        async with database.transaction(ada.tenant_id) as session:
            return await UsageRepository(session, ada.tenant_id).count_used(Quota.RECOGNITIONS)

    before, photo = await used(), pictures.photo(1)
    assert (await send_several(ada, "/recognize/batch", photo, photo, photo)).status_code == 200
    assert await used() == before + 3
    assert problem(await send_several(ada, "/recognize/batch", *[photo] * 21)) == "422 too_many_images"
    targets = [("source", ("1.jpg", photo)), *[("targets", ("2.jpg", photo))] * 2]
    assert (await ada.client.post("/compare/batch", files=targets)).status_code == 200
    assert await used() == before + 3 + 1 + 2  # one for the refused call, before its body was read
    assert problem(await ada.client.post("/recognize", files={"photo": b"x"})) == "422 invalid_parameter"


async def test_a_batch_over_the_months_quota_is_refused_whole(admin: Account, database: Database) -> None:
    async with database.transaction(as_operator=True) as session:
        rates = {permission.value: "1000/minute" for permission in Permission}
        await PlanDirectory(session).save(Plan("five", rates, {Quota.RECOGNITIONS: 5}))
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("UPDATE tenants SET plan = 'five' WHERE id = :tenant"), {"tenant": admin.tenant_id})
    photo = pictures.photo(1)
    assert problem(await send_several(admin, "/recognize/batch", *[photo] * 6)) == "403 quota_exceeded"
    # The first image was counted before the body was read; of the others none was.
    assert (await send_several(admin, "/recognize/batch", *[photo] * 4)).status_code == 200
    assert problem(await send_several(admin, "/recognize/batch", photo)) == "403 quota_exceeded"


async def test_small_faces_of_a_large_photo_are_found_when_asked_for(admin: Account) -> None:
    people = [(Person(seed), Placement(250 + 550 * seed, 900, 48), Variation()) for seed in range(4)]
    data = pictures.encode(draw_group(people, (2200, 1750))[0], quality=92)
    found = {
        detail: len((await admin.send("/detect", data, detail=detail)).json()["faces"])
        for detail in ("fast", "standard", "thorough")
    }
    assert found["thorough"] == 4
    assert found["fast"] < 4
    assert problem(await admin.send("/detect", data, detail="most")) == "422 invalid_parameter"


async def test_where_the_time_went_is_told(ada: Account) -> None:
    answer = await ada.send("/recognize", pictures.photo(1))
    stages = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert stages.keys() == {
        "receive",
        "wait",
        "decode",
        "detect",
        "align",
        "embed",
        "search",
        "serialize",
        "total",
    }
    spent = {stage: float(value) for stage, value in stages.items()}
    assert all(value >= 0 for value in spent.values())
    assert sum(value for stage, value in spent.items() if stage != "total") <= spent["total"]
    assert "server-timing" not in (await ada.client.get("/collections")).headers
