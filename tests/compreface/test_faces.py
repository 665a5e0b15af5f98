"""Faces of subjects: add, list, erase."""

import base64
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests import pictures
from tests.api.conftest import Account
from tests.compreface.conftest import With, error, photo_of


async def add(service: httpx.AsyncClient, subject: str, photo: bytes, **query: Any) -> str:
    answer = await service.post("/recognition/faces", params={"subject": subject, **query}, **photo_of(photo))
    assert answer.status_code == 201, answer.text
    assert answer.json()["subject"] == subject
    return str(UUID(answer.json()["image_id"]))


async def test_a_face_is_added_as_a_form_and_as_base64(service: httpx.AsyncClient) -> None:
    first = await add(service, "ada", pictures.photo(1))
    text = base64.b64encode(pictures.photo(1, 1)).decode()
    answer = await service.post("/recognition/faces/?subject=ada", json={"file": text})
    assert answer.status_code == 201, answer.text
    listed = (await service.get("/recognition/faces")).json()
    assert {face["image_id"] for face in listed["faces"]} == {first, answer.json()["image_id"]}
    assert listed["page_number"] == 0
    assert (listed["page_size"], listed["total_pages"], listed["total_elements"]) == (20, 1, 2)


async def test_the_same_photo_is_stored_once(service: httpx.AsyncClient) -> None:
    assert await add(service, "ada", pictures.photo(1)) == await add(service, "ada", pictures.photo(1))
    assert (await service.get("/recognition/faces")).json()["total_elements"] == 1


async def test_an_idempotency_key_repeats_the_answer(service: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"params": {"subject": "ada"}, "headers": {"idempotency-key": "once"}}
    first = await service.post("/recognition/faces", **body, **photo_of(pictures.photo(1)))
    again = await service.post("/recognition/faces", **body, **photo_of(pictures.photo(1)))
    assert first.json() == again.json()
    assert "idempotent-replayed" in again.headers
    other = await service.post("/recognition/faces", **body, **photo_of(pictures.photo(2)))
    assert error(other)[2] == "idempotency_key_reused"


async def test_faces_are_listed_in_pages(service: httpx.AsyncClient) -> None:
    ids = {await add(service, subject, pictures.photo(seed)) for seed, subject in enumerate(["ada", "bob", "cid"], 1)}
    pages = [(await service.get("/recognition/faces", params={"page": page, "size": 2})).json() for page in range(3)]
    assert [len(page["faces"]) for page in pages] == [2, 1, 0]
    assert {face["image_id"] for page in pages for face in page["faces"]} == ids
    assert {(page["total_pages"], page["total_elements"], page["page_size"]) for page in pages} == {(2, 3, 2)}
    of_bob = (await service.get("/recognition/faces", params={"subject": "bob"})).json()
    assert [face["subject"] for face in of_bob["faces"]] == ["bob"]
    assert error(await service.get("/recognition/faces", params={"subject": "eve"})) == (404, 42, "subject_not_found")


@pytest.mark.parametrize("query", [{"page": -1}, {"size": 0}, {"page": "x"}, {"page": 2**40, "size": 1000}])
async def test_a_page_beyond_reason_is_refused(service: httpx.AsyncClient, query: dict[str, Any]) -> None:
    assert error(await service.get("/recognition/faces", params=query)) == (400, 26, "invalid_parameter")


async def test_anonymous_faces_are_neither_listed_nor_erased(service: httpx.AsyncClient, admin: Account) -> None:
    files = {"image": ("photo.jpg", pictures.photo(3), "image/jpeg")}
    stored = await admin.client.post("/register/all", data={"collection": "people"}, files=files)
    assert stored.status_code == 201, stored.text
    anonymous = (await admin.client.get("/collections/people/faces")).json()["items"][0]["face_id"]
    await add(service, "ada", pictures.photo(1))
    assert (await service.get("/recognition/faces")).json()["total_elements"] == 1
    assert error(await service.delete(f"/recognition/faces/{anonymous}")) == (404, 44, "face_not_found")
    assert (await service.delete("/recognition/faces")).json() == {"deleted": 1}
    assert len((await admin.client.get("/collections/people/faces")).json()["items"]) == 1
    assert (await service.get("/recognition/subjects")).json() == {"subjects": ["ada"]}


async def test_faces_are_erased_by_id_by_list_by_subject_and_all(service: httpx.AsyncClient) -> None:
    ada = [await add(service, "ada", pictures.photo(1, take)) for take in range(3)]
    bob = await add(service, "bob", pictures.photo(2))
    assert (await service.delete(f"/recognition/faces/{ada[0]}")).json() == {"image_id": ada[0], "subject": "ada"}
    assert error(await service.delete(f"/recognition/faces/{ada[0]}")) == (404, 44, "face_not_found")
    listed = await service.post("/recognition/faces/delete", json=[ada[1], str(uuid4()), ada[1]])
    assert listed.json() == [{"image_id": ada[1], "subject": "ada"}]
    assert (await service.delete("/recognition/faces", params={"subject": "ada"})).json() == {"deleted": 1}
    assert (await service.get("/recognition/subjects")).json() == {"subjects": ["ada", "bob"]}
    assert (await service.delete("/recognition/faces/")).json() == {"deleted": 1}
    assert (await service.delete("/recognition/faces")).json() == {"deleted": 0}
    assert error(await service.delete(f"/recognition/faces/{bob}"))[0] == 404


@pytest.mark.parametrize("body", [b"[]", b'["x"]', b"{}", b"[1", b"null", b"[[]]", b'["' + b"0" * 70_000 + b'"]'])
async def test_a_list_that_is_none_is_refused(service: httpx.AsyncClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await service.post("/recognition/faces/delete", content=body, headers=headers)
    assert error(answer)[0] in (400, 413)


async def test_erasures_are_audited(service: httpx.AsyncClient, admin: Account) -> None:
    face = await add(service, "ada", pictures.photo(1))
    await service.delete(f"/recognition/faces/{face}")
    await add(service, "ada", pictures.photo(1, 1))
    await service.delete("/recognition/faces")
    await service.delete("/recognition/subjects")
    actions = [entry["action"] for entry in (await admin.client.get("/audit")).json()["items"]]
    assert actions[:5] == ["subject.erased", "face.erased", "faces.registered", "face.erased", "faces.registered"]


async def test_a_photo_must_show_one_face(service: httpx.AsyncClient) -> None:
    query: dict[str, Any] = {"params": {"subject": "ada"}}
    none = await service.post("/recognition/faces", **query, **photo_of(pictures.landscape()))
    assert error(none) == (400, 28, "no_face")
    assert none.json()["message"] == "No face is found in the given image"
    several = await service.post("/recognition/faces", **query, **photo_of(pictures.group(1, 2)))
    assert error(several) == (400, 31, "several_faces")
    poor = await service.post("/recognition/faces", **query, **photo_of(pictures.dark(1)))
    assert error(poor) == (400, 36, "face_too_dark")
    assert (await service.get("/recognition/subjects")).json() == {"subjects": []}


async def test_faces_below_the_threshold_do_not_count(service: httpx.AsyncClient) -> None:
    found = (await service.post("/detection/detect", **photo_of(pictures.group(1, 2)))).json()["result"]
    high, low = sorted((face["box"]["probability"] for face in found), reverse=True)
    assert high > low
    between = {"subject": "ada", "det_prob_threshold": (high + low) / 2}
    answer = await service.post("/recognition/faces", params=between, **photo_of(pictures.group(1, 2)))
    assert answer.status_code == 201, answer.text
    none = await service.post(
        "/recognition/faces", params={"subject": "bob", "det_prob_threshold": 1}, **photo_of(pictures.photo(1))
    )
    assert error(none) == (400, 28, "no_face")


async def test_a_photo_that_is_none_is_refused(service: httpx.AsyncClient) -> None:
    query: dict[str, Any] = {"params": {"subject": "ada"}}
    bodies: list[dict[str, Any]] = [
        {"content": b"", "headers": {"content-type": "image/jpeg"}},
        {"json": {}},
        {"json": {"file": 7}},
        {"json": {"file": "*"}},
        {"json": []},
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"files": {"image": ("photo.jpg", pictures.photo(1), "image/jpeg")}},
        {"files": {"file": ("photo.jpg", b"", "image/jpeg")}},
        {"files": {"file": ("photo.jpg", b"no photo", "image/jpeg")}},
        {"files": [("file", ("a.jpg", pictures.photo(1))), ("file", ("b.jpg", pictures.photo(1)))]},
        {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
    ]
    for body in bodies:
        answer = await service.post("/recognition/faces", **query, **body)
        assert error(answer)[0] in (400, 415), body
    missing = await service.post("/recognition/faces", **photo_of(pictures.photo(1)))
    assert error(missing) == (400, 26, "invalid_parameter")


async def test_a_photo_cannot_be_downloaded(service: httpx.AsyncClient) -> None:
    face = await add(service, "ada", pictures.photo(1))
    assert error(await service.get(f"/recognition/faces/{face}/img")) == (404, 11, "photo_not_found")
    key = service.headers["x-api-key"]
    direct = await service.get(f"/static/{key}/images/{face}")
    assert error(direct) == (404, 0, "route_not_found")
    assert key not in direct.text


async def test_consent_is_required_as_for_native_calls(
    service: httpx.AsyncClient, admin: Account, with_key: With
) -> None:
    await admin.client.put("/policy", json={"consent_required": True})
    refused = await service.post("/recognition/faces", params={"subject": "ada"}, **photo_of(pictures.photo(1)))
    assert error(refused) == (400, 36, "consent_required")
    await admin.client.post("/collections/people/subjects", json={"subject": "ada", "consent": "form-1"})
    await add(service, "ada", pictures.photo(1))
