"""Subjects: create, list, rename, merge, erase; names that are no ids."""

import json

import httpx
import pytest

from app.schemas.subject_names import from_subject_id, to_subject_id
from tests import pictures
from tests.api.conftest import Account
from tests.compreface.conftest import With, error, photo_of
from tests.compreface.test_faces import add


async def names(service: httpx.AsyncClient) -> list[str]:
    found: list[str] = (await service.get("/recognition/subjects")).json()["subjects"]
    return found


async def test_subjects_are_created_listed_and_erased(service: httpx.AsyncClient) -> None:
    assert await names(service) == []
    for name in ("bob", "ada"):
        created = await service.post("/recognition/subjects/", json={"subject": name})
        assert (created.status_code, created.json()) == (201, {"subject": name})
    again = await service.post("/recognition/subjects", json={"subject": "ada"})
    assert error(again) == (400, 43, "subject_exists")
    assert await names(service) == ["ada", "bob"]
    assert (await service.delete("/recognition/subjects/bob")).json() == {"subject": "bob"}
    assert error(await service.delete("/recognition/subjects/bob")) == (404, 42, "subject_not_found")
    assert (await service.delete("/recognition/subjects")).json() == {"deleted": 1}
    assert await names(service) == []


async def test_names_with_spaces_are_kept(service: httpx.AsyncClient, admin: Account) -> None:
    await add(service, "Ada Acker", pictures.photo(1))
    assert await names(service) == ["Ada Acker"]
    native = (await admin.client.get("/collections/people/subjects")).json()["items"]
    assert [(one["subject"], one["name"]) for one in native] == [("Ada::20Acker", "Ada Acker")]
    found = (await service.post("/recognition/recognize", **photo_of(pictures.photo(1, 1)))).json()
    assert found["result"][0]["subjects"][0]["subject"] == "Ada Acker"
    listed = await service.get("/recognition/faces", params={"subject": "Ada Acker"})
    assert [face["subject"] for face in listed.json()["faces"]] == ["Ada Acker"]
    assert (await service.delete("/recognition/subjects/Ada%20Acker")).json() == {"subject": "Ada Acker"}


@pytest.mark.parametrize(
    "name",
    ["ada", "Ada Acker", " Ada", "(unknown)", "@ada", "+1", ".", "..", "...", "a/b", "50 %", "Zoë Ätna", "李 小龙",
     "::20", "a::2Bb", ":::20", "a:20", "🙂 x"],
)  # fmt: skip
def test_every_name_comes_back(name: str) -> None:
    assert from_subject_id(to_subject_id(name)) == name


@pytest.mark.parametrize("subject", ["ada", "ns:ada", "emp:4242", "a+20b", "x::zz", "a::FF"])
def test_native_ids_stay_as_they_are(subject: str) -> None:
    assert from_subject_id(subject) == subject


@pytest.mark.parametrize("name", ["", "\0", "a\u200bb", "x" * 129, " " * 33, "face@ada", 7, None, ["ada"], "\ud800"])
async def test_a_name_that_no_id_can_stand_for_is_refused(service: httpx.AsyncClient, name: object) -> None:
    body = json.dumps({"subject": name}).encode()
    answer = await service.post("/recognition/subjects", content=body)
    assert error(answer) == (400, 26, "invalid_parameter"), answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b'{"subject": "a", "subject": "b"}', b"{}"])
async def test_a_body_that_is_none_is_refused(service: httpx.AsyncClient, body: bytes) -> None:
    assert error(await service.post("/recognition/subjects", content=body))[0] == 400
    assert error(await service.put("/recognition/subjects/ada", content=body))[0] == 400


async def test_a_subject_is_renamed(service: httpx.AsyncClient, admin: Account) -> None:
    face = await add(service, "ada", pictures.photo(1))
    renamed = await service.put("/recognition/subjects/ada", json={"subject": "Ada A.", "api_endpoint": "ada"})
    assert renamed.json() == {"updated": True}
    listed = (await service.get("/recognition/faces")).json()["faces"]
    assert listed == [{"image_id": face, "subject": "Ada A."}]
    native = (await admin.client.get("/collections/people/subjects")).json()["items"]
    assert [one["name"] for one in native] == ["Ada A."]
    missing = await service.put("/recognition/subjects/ada", json={"subject": "eve"})
    assert error(missing) == (404, 42, "subject_not_found")
    same = await service.put("/recognition/subjects/Ada A.", json={"subject": "Ada A."})
    assert same.json() == {"updated": True}


async def test_renaming_to_a_name_that_exists_merges(service: httpx.AsyncClient, with_key: With) -> None:
    await add(service, "ada", pictures.photo(1))
    await add(service, "ada2", pictures.photo(1, 1))
    may_not_delete = await with_key(["register"])
    refused = await may_not_delete.put("/recognition/subjects/ada2", json={"subject": "ada"})
    assert error(refused) == (403, 1, "permission_denied")
    merged = await service.put("/recognition/subjects/ada2", json={"subject": "ada"})
    assert merged.json() == {"updated": True}
    assert await names(service) == ["ada"]
    assert (await service.get("/recognition/faces", params={"subject": "ada"})).json()["total_elements"] == 2


async def test_more_subjects_than_one_request_erases_are_refused(
    service: httpx.AsyncClient, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.services.people import stored_faces, subjects

    for module in (stored_faces, subjects):
        monkeypatch.setattr(module, "MAX_ERASED_SUBJECTS", 1)
    await add(service, "ada", pictures.photo(1))
    await add(service, "bob", pictures.photo(2))
    assert error(await service.delete("/recognition/subjects"))[0] == 400
    assert error(await service.delete("/recognition/faces"))[0] == 400
    assert await names(service) == ["ada", "bob"]
    assert (await service.get("/recognition/faces")).json()["total_elements"] == 2
