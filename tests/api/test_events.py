"""Events: each change is told once, in order, to those who may know it, and by ids alone."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.domain.events import EventType
from app.services.erasure.retention import RetentionSweep
from tests import pictures
from tests.api.conftest import PASSWORD, Account, PutOnPlan, Running, problem, sign_in
from tests.api.test_album_events import Event, events
from tests.cli.test_serve import service_env
from tests.servers import serving

__all__ = ["service_env"]


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


async def test_who_is_erased_is_named_by_no_event_of_another(admin: Account) -> None:
    """Neither by an event of a former id, nor by one of who was merged into it."""
    base = "/collections/default/subjects"
    for subject in ("ada", "bob"):
        await admin.register(subject, pictures.photo(1))
    await admin.client.patch(f"{base}/ada", json={"subject": "ada-2"})
    await admin.client.post(f"{base}/bob/merge", json={"into": "ada-2"})
    former = {"collection": "default", "subject": "ada", "became_collection": "default", "became_subject": "ada-2"}
    merged = {"collection": "default", "subject": "bob", "merged_into": "ada-2"}
    told = [one["data"] for one in await listed(admin)]
    assert former in told
    assert merged in told
    await admin.client.delete(f"{base}/ada-2")
    assert [(one["type"], one["data"]) for one in await listed(admin)] == [
        ("subject.deleted", {"collection": "default", "subject": subject}) for subject in ("ada", "bob", "ada-2")
    ]


async def test_erased_faces_are_named_by_the_deletion_alone(admin: Account) -> None:
    base = "/collections/default/subjects/ada"
    one, other = [(await admin.register("ada", pictures.photo(1, take))).json()["templates"][0] for take in range(2)]
    await admin.client.delete(f"{base}/faces/{one['face_id']}")
    naming = [event["type"] for event in await listed(admin) if one["face_id"] in str(event)]
    assert naming == ["face.deleted"]
    await admin.client.delete(f"{base}/consent")
    assert other["face_id"] not in str(await listed(admin))
    assert (await kinds(admin))[-1] == "consent.withdrawn"


async def test_an_erased_collection_takes_its_events_along(admin: Account, stranger: Account) -> None:
    for account in (admin, stranger):
        await account.client.post("/collections", json={"name": "lobby"})
        await account.register("ada", pictures.photo(1), collection="lobby")
    await admin.register("bob", pictures.photo(3))
    await admin.register("eve", pictures.photo(5))
    await admin.client.post("/collections/default/subjects/eve/move", json={"collection": "lobby"})
    await admin.client.delete("/collections/lobby")
    assert [(one["type"], one["data"].get("subject")) for one in await listed(admin)] == [
        ("subject.created", "bob"),
        ("face.registered", "bob"),
        ("subject.deleted", "eve"),
        ("collection.deleted", None),
    ]
    assert [str(one["data"]).count("lobby") for one in await listed(admin)] == [0, 0, 0, 1]
    assert len(await listed(stranger)) == 3


async def test_an_erased_album_takes_along_who_was_seen_in_it(admin: Account, running: Running) -> None:
    await admin.register("ada", pictures.photo(1))
    await admin.client.post("/albums", json={"id": "party", "people": ["default"]})
    await admin.client.put("/albums/party/photos/1.jpg", files={"image": ("a.jpg", pictures.photo(1, take=1))})
    async with running.state.album_worker.running(), asyncio.timeout(60):
        while "sighting.matched" not in await kinds(admin):
            await asyncio.sleep(0.1)
    await admin.client.delete("/albums/party")
    assert await kinds(admin) == ["subject.created", "face.registered", "collection.deleted"]


async def test_whose_time_is_over_is_named_by_the_deletion_alone(admin: Account, running: Running) -> None:
    await admin.register("ada", pictures.photo(1))
    async with running.state.database.transaction(admin.tenant_id) as session:
        await session.execute(text("UPDATE subjects SET expires_at = now() - interval '1 day'"))
    await RetentionSweep(running.state.database, running.state.trails).run()
    assert [(one["type"], one["data"]) for one in await listed(admin)] == [
        ("subject.deleted", {"collection": "default", "subject": "ada"}),
        ("retention.expired", {"collection": "default"}),
    ]


async def test_events_are_watched_as_they_come(service_env: dict[str, str]) -> None:
    """From a real server: own events after a number, and none of another tenant."""
    with serving(1, **service_env) as (base, _):
        async with AsyncExitStack() as stack:
            own, other = [await sign_up_over_http(base, stack) for _ in range(2)]
            assert problem(await own.get("/events/stream", params={"after": -1})) == "422 invalid_parameter"
            async with httpx.AsyncClient(base_url=f"{base}/api/v1") as nobody:
                assert problem(await nobody.get("/events/stream")) == "401 not_authenticated"
            for client in (own, other):
                await client.post("/collections", json={"name": "one"})
            seen: list[Event] = []
            async with own.stream("GET", "/events/stream", params={"after": 0}) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                async for event in events(answer):
                    seen.append(event)
                    if len(seen) == 1:
                        await other.post("/collections", json={"name": "two"})
                        await own.post("/collections", json={"name": "three"})
                    else:
                        break
            assert [one["event"] for one in seen] == ["collection.created"] * 2
            assert [one["data"]["data"]["collection"] for one in seen] == ["one", "three"]
            again = {"last-event-id": seen[0]["id"]}
            async with own.stream("GET", "/events/stream", headers=again) as answer:
                async for event in events(answer):
                    assert event == seen[1]
                    break


async def sign_up_over_http(base: str, stack: AsyncExitStack) -> httpx.AsyncClient:
    """Make a new tenant of a server, and sign its admin in until the stack closes."""
    client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"{base}/api/v1", timeout=60))
    login = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    await client.post("/auth/signup", json={"tenant": "Acme", **login})
    tokens = await sign_in(client, login["email"])
    client.headers["authorization"] = f"Bearer {tokens['access_token']}"
    return client


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
