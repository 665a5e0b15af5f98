"""Several photos at once: one item for each, and single routes that take one photo only."""

import base64
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.permissions import Permission, Plan
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory
from tests import pictures
from tests.api.conftest import Account, problem

PHOTO = pictures.photo(1)
SINGLE = {
    "/recognize": ("images", "/api/v1/recognize/batch"),
    "/extract": ("images", "/api/v1/extract/batch"),
    "/compare": ("targets", "/api/v1/compare/batch"),
}


def files(*parts: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [(field, (f"{index}.jpg", data)) for index, (field, data) in enumerate(parts)]


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def first(path: str) -> list[tuple[str, bytes]]:
    return [("source", PHOTO)] if path.startswith("/compare") else []


@pytest.mark.parametrize("path", SINGLE)
async def test_a_single_route_names_the_batch_route(admin: Account, path: str) -> None:
    field, batch = SINGLE[path]
    one = "target" if path == "/compare" else "image"
    for sent in ([(field, PHOTO)], [(field, PHOTO)] * 3, [(one, PHOTO), (field, PHOTO)]):
        as_form = await admin.client.post(path, files=files(*first(path), *sent))
        body: dict[str, Any] = {name: as_text(data) for name, data in first(path)}
        body |= {name: [as_text(data)] if name == field else as_text(data) for name, data in sent}
        as_json = await admin.client.post(path, json=body)
        for answer in (as_form, as_json):
            assert problem(answer) == "422 batch_route_needed"
            assert answer.json()["errors"][0]["field"] == field
            assert f"POST {batch}." in answer.json()["detail"]
    twice = await admin.client.post(path, files=files(*first(path), (one, PHOTO), (one, PHOTO)))
    assert problem(twice) == "422 too_many_images"
    assert batch in twice.json()["detail"]


async def test_one_source_is_compared_with_each_target(admin: Account) -> None:
    targets = [pictures.group(2, 1), pictures.landscape(), b"no photo", pictures.photo(1, take=1)]
    answer = await admin.client.post(
        "/compare/batch", files=files(*first("/compare"), *[("targets", t) for t in targets])
    )
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [item["index"] for item in items] == [0, 1, 2, 3]
    assert [item["problem"] and item["problem"]["code"] for item in items] == [
        None,
        "no_face",
        "image_unreadable",
        None,
    ]
    for index in (1, 2):
        assert items[index]["answer"] is None
        assert (items[index]["problem"]["field"], items[index]["problem"]["index"]) == ("targets", index)
    for index in (0, 3):
        alone = await admin.client.post("/compare", files=files(("source", PHOTO), ("target", targets[index])))
        assert items[index]["answer"] == alone.json()
    as_json = {"source": as_text(PHOTO), "targets": [as_text(target) for target in targets]}
    assert (await admin.client.post("/compare/batch", json=as_json)).json() == answer.json()


@pytest.mark.parametrize(("source", "code"), [(pictures.landscape(), "no_face"), (b"no photo", "image_unreadable")])
async def test_a_source_that_cannot_be_used_is_the_whole_answer(admin: Account, source: bytes, code: str) -> None:
    answer = await admin.client.post("/compare/batch", files=files(("source", source), ("targets", PHOTO)))
    assert problem(answer) == f"422 {code}"
    assert answer.json()["errors"][0]["field"] == "source"


@pytest.mark.parametrize("path", ["/recognize/batch", "/extract/batch", "/compare/batch"])
async def test_every_item_may_be_a_problem(admin: Account, path: str) -> None:
    field = "targets" if "compare" in path else "images"
    answer = await admin.client.post(path, files=files(*first(path), (field, b"no photo"), (field, b"nor this")))
    assert answer.status_code == 200
    for index, item in enumerate(answer.json()["items"]):
        assert (item["index"], item["answer"]) == (index, None)
        told = item["problem"]
        expected = (422, "image_unreadable", field, index)
        assert (told["status"], told["code"], told["field"], told["index"]) == expected


async def test_errors_of_the_whole_request_are_those_of_the_single_route(admin: Account) -> None:
    unknown = await admin.client.post(
        "/recognize/batch", data={"collection": "nope"}, files=files(("images", PHOTO), ("images", PHOTO))
    )
    assert problem(unknown) == "404 collection_not_found"
    unknown = await admin.client.post("/extract/batch", data={"recognizer": "x:1"}, files=files(("images", PHOTO)))
    assert problem(unknown) == "422 invalid_parameter"


@pytest.mark.parametrize("permission", [Permission.RECOGNIZE, Permission.READ_EMBEDDINGS])
async def test_each_photo_of_a_batch_counts_toward_the_rate(
    admin: Account, database: Database, permission: Permission
) -> None:
    name = f"ten {permission.value}"
    async with database.transaction(as_operator=True) as session:
        rates = {one.value: "10/hour" if one is permission else "1000/minute" for one in Permission}
        await PlanDirectory(session).save(Plan(name, rates))
    async with database.transaction(as_operator=True) as session:
        values = {"plan": name, "tenant": admin.tenant_id}
        await session.execute(text("UPDATE tenants SET plan = :plan WHERE id = :tenant"), values)
    path = "/recognize" if permission is Permission.RECOGNIZE else "/extract"

    async def send(number: int) -> httpx.Response:
        return await admin.client.post(f"{path}/batch", files=files(*[("images", PHOTO)] * number))

    answer = await send(4)
    assert answer.status_code == 200, answer.text
    assert ";r=6;" in answer.headers["ratelimit"]
    assert ";r=5;" in (await admin.send(path, PHOTO)).headers["ratelimit"]
    refused = await send(6)
    assert problem(refused) == "429 rate_limited"
    assert "a batch counts one for each photo, here 6" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0
