"""Events: each change is told once, in order, to those who may know it, and by ids alone."""

from typing import Any

import pytest

from app.domain.events import EventType
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.api.test_limits import PutOnPlan, put_on_plan

__all__ = ["put_on_plan"]


async def listed(account: Account, **params: Any) -> list[dict[str, Any]]:
    answer = await account.client.get("/events", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def kinds(account: Account) -> list[str]:
    return [event["type"] for event in await listed(account, limit=1000)]


async def test_a_persons_changes_are_told_in_order(admin: Account) -> None:
    (face,) = (await admin.register("ada", pictures.photo(1), name="Ada Acker")).json()["templates"]
    base = "/collections/default/subjects/ada"
    await admin.client.patch(base, json={"name": "Ada"})
    await admin.client.put(f"{base}/consent", json={"reference": "form-1"})
    await admin.client.delete(f"{base}/faces/{face['face_id']}")
    await admin.client.patch(base, json={"subject": "ada-2"})
    found = await listed(admin)
    assert [(one["type"], one["data"].get("subject")) for one in found] == [
        ("subject.deleted", "ada"),
        ("subject.created", "ada-2"),
    ]
    numbers = [one["seq"] for one in found]
    assert numbers == sorted(set(numbers))
    assert "Acker" not in str(found)


async def test_a_registration_tells_of_the_person_and_the_faces(admin: Account) -> None:
    first = (await admin.register("ada", pictures.photo(1))).json()["templates"]
    await admin.register("ada", pictures.photo(2))
    created, registered, again = await listed(admin)
    assert (created["type"], created["data"]) == ("subject.created", {"collection": "default", "subject": "ada"})
    assert registered["type"] == again["type"] == "face.registered"
    assert registered["data"]["face_ids"] == [face["face_id"] for face in first]


async def test_an_erasure_leaves_only_that_it_happened(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1))
    await admin.register("bob", pictures.photo(3))
    await admin.client.delete("/collections/default/subjects/ada")
    about_ada = [one for one in await listed(admin) if one["data"].get("subject") == "ada"]
    assert [one["type"] for one in about_ada] == ["subject.deleted"]
    assert (await admin.client.get("/events", params={"after": 0})).json()["is_complete"]


async def test_a_refused_request_tells_nothing(admin: Account) -> None:
    assert (await admin.register("ada", pictures.landscape())).status_code == 422
    answer = await admin.client.post("/collections/nowhere/subjects", json={"subject": "ada"})
    assert problem(answer) == "404 collection_not_found"
    assert await kinds(admin) == []


async def test_events_go_on_after_a_number(admin: Account) -> None:
    for name in ("one", "two", "three"):
        await admin.client.post("/collections", json={"name": name})
    first = (await admin.client.get("/events", params={"limit": 2})).json()
    assert [one["data"]["collection"] for one in first["items"]] == ["one", "two"]
    rest = (await admin.client.get("/events", params={"after": first["last_seq"]})).json()
    assert [one["data"]["collection"] for one in rest["items"]] == ["three"]
    end = (await admin.client.get("/events", params={"after": rest["last_seq"]})).json()
    assert (end["items"], end["last_seq"]) == ([], rest["last_seq"])


async def test_events_are_chosen_by_type(admin: Account) -> None:
    await admin.client.post("/collections", json={"name": "one"})
    await admin.client.post("/keys", json={"name": "a", "scopes": ["recognize"]})
    found = await listed(admin, types=["key.created"])
    assert [one["type"] for one in found] == ["key.created"]
    assert problem(await admin.client.get("/events", params={"types": "key.lost"})) == "422 invalid_parameter"
    assert problem(await admin.client.get("/events", params={"after": -1})) == "422 invalid_parameter"


async def test_another_tenant_reads_none_of_them(admin: Account, stranger: Account) -> None:
    await admin.client.post("/collections", json={"name": "one"})
    assert await listed(stranger) == []


async def test_a_limited_key_reads_its_collections_alone(admin: Account, running: Running) -> None:
    for name in ("one", "two"):
        await admin.client.post("/collections", json={"name": name})
    key = {"name": "reader", "scopes": ["register"], "collections": ["one"]}
    secret = (await admin.client.post("/keys", json=key)).json()["key"]
    async with running.client(secret) as client:
        found = (await client.get("/events")).json()["items"]
    assert [(one["type"], one["data"]["collection"]) for one in found] == [("collection.created", "one")]


async def test_who_is_no_admin_reads_nothing_of_keys(admin: Account, running: Running) -> None:
    secret = (await admin.client.post("/keys", json={"name": "reader", "scopes": ["register"]})).json()["key"]
    async with running.client(secret) as client:
        assert (await client.get("/events")).json()["items"] == []
    assert await kinds(admin) == ["key.created"]


async def test_a_quota_that_is_reached_is_told_once(admin: Account, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(admin, collections=2)
    for name in ("one", "two", "three"):
        answer = await admin.client.post("/collections", json={"name": name})
    assert problem(answer) == "403 quota_exceeded"
    told = await listed(admin, types=["quota.reached"])
    assert [one["data"] for one in told] == [{"quota": "collections"}]


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_has_a_subject_and_a_verb(kind: EventType) -> None:
    assert kind.value.count(".") == 1
