"""Collections, subjects and stored faces: create, list, read, erase, and always from another tenant too."""

from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.schemas.subjects import SubjectPage
from tests import pictures
from tests.api.conftest import Account, problem


async def test_a_collections_life(admin: Account, stranger: Account) -> None:
    created = await admin.client.post("/collections", json={"name": "visitors"})
    assert created.status_code == 201
    assert problem(await admin.client.post("/collections", json={"name": "visitors"})) == "409 collection_exists"
    assert problem(await admin.client.post("/collections", json={"name": "a b"})) == "422 invalid_parameter"
    await admin.register("ada", pictures.photo(1), pictures.photo(1, take=1), collection="visitors")
    body = (await admin.client.get("/collections/visitors")).json()
    assert (body["name"], body["subjects"], body["templates"]) == ("visitors", 1, 2)
    for method in ("get", "delete"):
        answer = await getattr(stranger.client, method)("/collections/visitors")
        assert problem(answer) == "404 collection_not_found"
    assert (await admin.client.delete("/collections/visitors")).status_code == 204
    assert problem(await admin.client.delete("/collections/visitors")) == "404 collection_not_found"


async def test_deleting_a_collection_erases_everybody_in_it(admin: Account, database: Database) -> None:
    await admin.client.post("/collections", json={"name": "visitors"})
    await admin.register("ada", pictures.photo(1), collection="visitors")
    await admin.client.delete("/collections/visitors")
    async with database.transaction(as_operator=True) as session:
        for table in ("templates", "subjects"):
            count = text(f"SELECT count(*) FROM {table} WHERE tenant_id = :tenant")
            assert await session.scalar(count, {"tenant": admin.tenant_id}) == 0


async def pages(client: httpx.AsyncClient, path: str, limit: int) -> list[list[dict[str, object]]]:
    found, cursor = [], None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        answer = await client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


async def test_lists_come_in_pages_without_gap_or_repeat(admin: Account) -> None:
    names = sorted(f"c{index:02d}" for index in range(6))
    for name in names:
        await admin.client.post("/collections", json={"name": name})
    found = await pages(admin.client, "/collections", 3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert [item["name"] for page in found for item in page] == [*names, "default"]

    for index in range(5):
        await admin.client.post("/collections/c00/subjects", json={"subject": f"s{index}", "name": f"Person {index}"})
    found = await pages(admin.client, "/collections/c00/subjects", 2)
    assert [item["subject"] for page in found for item in page] == [f"s{index}" for index in range(5)]


async def test_faces_come_in_pages_too(admin: Account) -> None:
    answer = await admin.register("ada", *(pictures.photo(1, take) for take in range(5)))
    ids = sorted(template["face_id"] for template in answer.json()["templates"])
    found = await pages(admin.client, "/collections/default/subjects/ada/faces", 2)
    assert [item["face_id"] for page in found for item in page] == ids
    assert "embedding" not in found[0][0]


async def test_a_cursor_belongs_to_its_tenant_and_its_list(admin: Account, stranger: Account) -> None:
    for index in range(3):
        await admin.client.post("/collections", json={"name": f"c{index}"})
    cursor = (await admin.client.get("/collections?limit=1")).json()["next_cursor"]
    for client, path in ((stranger.client, "/collections"), (admin.client, "/collections/c0/subjects")):
        assert problem(await client.get(path, params={"cursor": cursor})) == "422 invalid_cursor"
    assert problem(await admin.client.get("/collections?cursor=made-up")) == "422 invalid_cursor"
    assert problem(await admin.client.get("/collections?limit=-1")) == "422 invalid_parameter"
    assert problem(await admin.client.get("/collections?limit=501")) == "422 invalid_parameter"


async def test_a_subjects_life(admin: Account, stranger: Account) -> None:
    body = {"subject": "ada", "name": "Ada", "metadata": {"team": 7}}
    created = await admin.client.post("/collections/default/subjects", json=body)
    assert created.status_code == 201
    assert created.json()["templates"] == 0
    assert problem(await admin.client.post("/collections/default/subjects", json=body)) == "409 subject_exists"
    assert problem(await admin.client.post("/collections/nope/subjects", json=body)) == "404 collection_not_found"
    assert (await admin.client.get("/collections/default/subjects/ada")).json()["metadata"] == {"team": 7}
    for method in ("get", "delete"):
        answer = await getattr(stranger.client, method)("/collections/default/subjects/ada")
        assert problem(answer) == "404 subject_not_found"
    assert (await admin.client.delete("/collections/default/subjects/ada")).status_code == 200
    assert problem(await admin.client.get("/collections/default/subjects/ada")) == "404 subject_not_found"


@pytest.mark.parametrize("metadata", [[1], "text", {"a": "\0"}, {"deep": [[[[[[[[[[1]]]]]]]]]]}])
async def test_metadata_that_cannot_be_stored_is_refused(admin: Account, metadata: object) -> None:
    body = {"subject": "ada", "metadata": metadata}
    assert problem(await admin.client.post("/collections/default/subjects", json=body)) == "422 invalid_parameter"


async def test_deleting_a_subject_erases_the_templates_in_the_same_transaction(
    ada: Account, database: Database
) -> None:
    assert (await ada.client.delete("/collections/default/subjects/ada")).status_code == 200
    async with database.transaction(as_operator=True) as session:
        count = text("SELECT count(*) FROM templates WHERE tenant_id = :tenant")
        assert await session.scalar(count, {"tenant": ada.tenant_id}) == 0
    (face,) = (await ada.send("/recognize", pictures.photo(1))).json()["faces"]
    assert face["candidates"] == []


async def test_a_stored_faces_life(ada: Account, stranger: Account) -> None:
    path = "/collections/default/subjects/ada/faces"
    (stored,) = (await ada.client.get(path)).json()["items"]
    face = (await ada.client.get(f"{path}/{stored['face_id']}")).json()
    assert face["recognizer"].startswith("rec_drawn:")
    assert face["source"] == "register"
    assert face["quality"]["sharpness"] > 40
    for method in ("get", "delete"):
        answer = await getattr(stranger.client, method)(f"{path}/{stored['face_id']}")
        assert problem(answer) == "404 subject_not_found"
        await stranger.client.post("/collections/default/subjects", json={"subject": "ada"})
        answer = await getattr(stranger.client, method)(f"{path}/{stored['face_id']}")
        assert problem(answer) == "404 face_not_found"
        await stranger.client.delete("/collections/default/subjects/ada")
        assert problem(await getattr(ada.client, method)(f"{path}/{uuid4()}")) == "404 face_not_found"
        assert problem(await getattr(ada.client, method)(f"{path}/7")) == "422 invalid_parameter"
    assert (await ada.client.delete(f"{path}/{stored['face_id']}")).status_code == 204
    assert (await ada.client.get(path)).json()["items"] == []
    assert (await ada.client.get("/collections/default/subjects/ada")).json()["templates"] == 0


async def test_a_page_of_subjects_is_what_its_model_says(admin: Account) -> None:
    path = "/collections/default/subjects"
    assert (await admin.client.get(path)).json() == {"items": [], "next_cursor": None}
    body = {"name": "Ada ä", "metadata": {"team": 7, "none": None, "list": [1.5, "x"]}, "consent": "form-1"}
    one = {**body, "subject": "ada", "expires_at": "2099-01-01T00:00:00.5Z"}
    created = [(await admin.client.post(path, json=subject)).json() for subject in (one, {"subject": "bob"})]
    await admin.client.delete(f"{path}/ada/consent")
    created[0] = (await admin.client.get(f"{path}/ada")).json()
    for query in ({}, {"created_after": "2020-01-01T00:00:00Z"}):
        answer = await admin.client.get(path, params=query)
        page = SubjectPage.model_validate_json(answer.content)
        assert answer.content == page.model_dump_json().encode()
        assert answer.json() == {"items": created, "next_cursor": None}
