"""Where a stored face comes from: its photo and its box, in every answer, in lists and in erasures by photo."""

import json
from typing import Any
from uuid import uuid4

import pytest

from app.persistence.connections.database import Database
from app.security.receipts import SignedReceipt, is_valid_receipt
from tests import pictures
from tests.api.conftest import Account, problem
from tests.api.test_privacy import everything_stored

FACES = "/collections/default/faces"
ADA = "/collections/default/subjects/ada"
ORIGIN = ("external_image_id", "image_id", "bounding_box")
PHOTOS = {
    "a.jpg": (1, 2, 3),
    "b.jpg": (1, 4),
    "c.jpg": (5, 6, 2),
    "d.jpg": (7, 1),
    "e.jpg": (3, 4),
    "f.jpg": (2, 1, 8),
}


def origin(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ORIGIN}


async def register_photos(account: Account, *names: str) -> list[dict[str, Any]]:
    stored = []
    for name in names or tuple(PHOTOS):
        answer = await account.send("/register/all", pictures.group(*PHOTOS[name]), external_image_id=name)
        stored += answer.raise_for_status().json()["stored"]
    return stored


async def list_faces(account: Account, **filters: str | int) -> list[dict[str, Any]]:
    faces: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await account.client.get(FACES, params={**filters, **({"cursor": cursor} if cursor else {})})
        page = answer.raise_for_status().json()
        faces += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return faces


async def test_a_selfie_finds_the_photos_that_show_the_person(admin: Account) -> None:
    await register_photos(admin)
    selfie = pictures.photo(1, take=1)
    with_person = {name for name, people in PHOTOS.items() if 1 in people}
    for _ in range(3):  # the last from memory
        (face,) = (await admin.send("/recognize", selfie, limit="20")).raise_for_status().json()["faces"]
        matches = [candidate for candidate in face["candidates"] if candidate["decision"] == "match"]
        assert {match["external_image_id"] for match in matches} == with_person
        assert len(matches) == len(with_person)
        for match in matches:
            (listed,) = [one for one in await list_faces(admin) if one["face_id"] == match["face_id"]]
            assert (origin(listed), listed["subject"]) == (origin(match), match["subject"])
    extracted = (await admin.send("/extract", selfie)).json()
    query = {"embedding": extracted["faces"][0]["embedding"], "recognizer": extracted["recognizer"], "limit": 20}
    found = (await admin.client.post("/collections/default/search", json=query)).raise_for_status().json()
    again = [candidate for candidate in found["candidates"] if candidate["decision"] == "match"]
    assert {match["external_image_id"] for match in again} == with_person


async def test_a_candidate_names_the_most_similar_of_the_subjects_faces(admin: Account) -> None:
    ids = {}
    for take in (0, 1, 2):
        answer = await admin.register("ada", pictures.photo(1, take), external_image_id=f"take {take}")
        ids[take] = answer.raise_for_status().json()["templates"][0]["face_id"]
    await admin.register("bob", pictures.photo(2))
    for _ in range(3):
        for take in (0, 1, 2):
            answer = await admin.send("/recognize", pictures.photo(1, take))
            best = answer.raise_for_status().json()["faces"][0]["candidates"][0]
            assert (best["subject"], best["external_image_id"], best["face_id"]) == ("ada", f"take {take}", ids[take])
    verified = (await admin.send("/verify", pictures.photo(1, 2), subject="ada")).raise_for_status().json()
    assert (verified["external_image_id"], verified["face_id"]) == ("take 2", ids[2])
    similar = (await admin.client.get("/collections/default/subjects/bob/similar")).raise_for_status().json()
    assert similar["candidates"][0]["face_id"] in ids.values()


async def test_every_answer_about_a_stored_face_says_the_same(admin: Account) -> None:
    registered = (await admin.register("ada", pictures.photo(1), external_image_id="Käfer 1")).raise_for_status().json()
    (face,) = registered["templates"]
    expected = origin(face)
    assert expected["external_image_id"] == "Käfer 1"
    box, pixels = expected["bounding_box"], face["face"]["box"]
    assert box["left"] * 320 == pytest.approx(pixels["x"], abs=0.1)
    assert box["height"] * 320 == pytest.approx(pixels["height"], abs=0.1)
    (listed,) = (await admin.client.get(f"{ADA}/faces")).json()["items"]
    assert origin(listed) == expected
    assert origin((await admin.client.get(f"{ADA}/faces/{face['face_id']}")).json()) == expected
    assert origin((await list_faces(admin))[0]) == expected
    exported = (await admin.client.get(f"{ADA}/export")).json()["faces"][0]
    assert origin(exported) == expected
    candidate = (await admin.send("/recognize", pictures.photo(1))).json()["faces"][0]["candidates"][0]
    assert origin(candidate) == expected


async def test_an_import_restores_the_origin_and_reads_older_exports(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1), external_image_id="a photo")
    document = (await admin.client.get(f"{ADA}/export")).json()
    before = origin(document["faces"][0])
    await admin.client.delete(ADA)
    assert (await admin.client.post("/subjects/import", json=document)).status_code == 201
    assert origin((await list_faces(admin))[0]) == before
    assert (await admin.register("ada", pictures.photo(1))).json()["templates"][0]["was_stored"]
    older = {
        **document,
        "subject": "older",
        "faces": [{key: value for key, value in document["faces"][0].items() if key not in ORIGIN}],
    }
    assert (await admin.client.post("/subjects/import", json=older)).status_code == 201
    (face,) = (await admin.client.get("/collections/default/subjects/older/faces")).json()["items"]
    assert origin(face) == dict.fromkeys(ORIGIN)
    for wrong in ({"bounding_box": {"left": 0}}, {"external_image_id": ""}, {"image_id": "x"}, {"photo": "x"}):
        bad = {**document, "subject": "eve", "faces": [{**document["faces"][0], **wrong}]}
        assert problem(await admin.client.post("/subjects/import", json=bad)) == "422 invalid_parameter"


async def test_a_photo_without_an_id_gets_one_when_it_is_sent_again(admin: Account) -> None:
    async def register(**fields: str) -> dict[str, Any]:
        (face,) = (await admin.register("ada", pictures.photo(1), **fields)).raise_for_status().json()["templates"]
        named: dict[str, Any] = face
        return named

    first = await register()
    assert first["external_image_id"] is None
    named = await register(external_image_id="a")
    assert (named["was_stored"], named["face_id"], named["external_image_id"]) == (True, first["face_id"], "a")
    assert (await register(external_image_id="b"))["external_image_id"] == "a"
    candidate = (await admin.send("/recognize", pictures.photo(1))).json()["faces"][0]["candidates"][0]
    assert candidate["external_image_id"] == "a"
    two = await admin.register("ada", pictures.photo(1), pictures.photo(1, 1), external_image_id="c")
    assert problem(two) == "422 invalid_parameter"
    assert "2 were sent" in two.json()["detail"]


async def test_faces_are_listed_by_photo_page_by_page(admin: Account, stranger: Account) -> None:
    stored = await register_photos(admin)
    await register_photos(stranger, "a.jpg")
    assert len(await list_faces(admin, limit=4)) == len(stored)
    by_photo = await list_faces(admin, limit=2, external_image_id="f.jpg")
    assert {face["face_id"] for face in by_photo} == {
        face["face_id"] for face in stored if face["external_image_id"] == "f.jpg"
    }
    image_id = by_photo[0]["image_id"]
    assert await list_faces(admin, limit=1, image_id=image_id) == by_photo
    assert await list_faces(admin, image_id=image_id, external_image_id="a.jpg") == []
    assert await list_faces(stranger, image_id=image_id) == []
    cursor = (await admin.client.get(FACES, params={"limit": 1, "external_image_id": "f.jpg"})).json()["next_cursor"]
    for others in ({}, {"external_image_id": "a.jpg"}, {"external_image_id": "f.jpg", "image_id": image_id}):
        answer = await admin.client.get(FACES, params={"cursor": cursor, **others})
        assert problem(answer) == "422 invalid_cursor"
    assert problem(await admin.client.get(FACES, params={"external_image_id": ""})) == "422 invalid_parameter"
    assert problem(await admin.client.get(FACES, params={"image_id": "x"})) == "422 invalid_parameter"


async def test_erasing_a_photo_leaves_no_residue_of_it(admin: Account, stranger: Account, database: Database) -> None:
    name = f"photo {uuid4().hex}"
    admin.client.headers["idempotency-key"] = uuid4().hex
    group = (await admin.send("/register/all", pictures.group(2, 3), external_image_id=name)).json()["stored"]
    admin.client.headers["idempotency-key"] = uuid4().hex
    single = await admin.register("ada", pictures.photo(1), external_image_id=name)
    del admin.client.headers["idempotency-key"]
    await admin.register("ada", pictures.photo(1, 1), external_image_id="another photo")
    ids = [face["face_id"] for face in (*group, *single.json()["templates"])]
    assert problem(await stranger.client.delete(FACES, params={"external_image_id": name})) == "404 face_not_found"
    done = (await admin.client.delete(FACES, params={"external_image_id": name})).raise_for_status().json()
    signed = SignedReceipt(**done)
    assert is_valid_receipt(signed, signed.public_key)
    assert (signed.receipt["action"], signed.receipt["faces"]) == ("face.erased", 3)
    assert name not in json.dumps(done)
    held = await everything_stored(database)
    told = held["events"].splitlines()
    held["events"] = "\n".join(row for row in told if ",face.deleted," not in row)  # receivers must delete them too
    assert [table for table, rows in held.items() for needle in (name, *ids) if needle in rows] == []
    assert not any(name in row for row in told)
    assert all(any(face_id in row for row in told) for face_id in ids)
    (left,) = await list_faces(admin)
    assert (left["subject"], left["external_image_id"]) == ("ada", "another photo")
    subjects = (await admin.client.get("/collections/default/subjects")).json()["items"]
    assert [subject["subject"] for subject in subjects] == ["ada"]
    trail = (await admin.client.get("/audit", params={"action": "face.erased"})).json()["items"]
    assert [entry["details"]["faces"] for entry in trail] == [3, 1]
    assert trail[0]["seq"] == signed.receipt["audit_seq"]
    about_ada = (await admin.client.get("/audit", params={"collection": "default", "subject": "ada"})).json()["items"]
    assert about_ada[0]["action"] == "face.erased"
    assert problem(await admin.client.delete(FACES, params={"external_image_id": name})) == "404 face_not_found"
    assert problem(await admin.client.delete(FACES)) == "422 invalid_parameter"
    by_id = await admin.client.delete(FACES, params={"image_id": left["image_id"]})
    assert by_id.json()["receipt"]["faces"] == 1
