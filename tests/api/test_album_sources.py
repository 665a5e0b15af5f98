"""Photos that lie in the tenant's own object store, fetched when their turn comes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem, sign_up_at, start
from tests.api.test_albums import ALBUM, create, finished, put, search
from tests.seaweed import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedFS, serving_objects

BUCKET = "wedding"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tenant's object store, with a few photos."""
    with serving_objects(tmp_path_factory.mktemp("store")) as server:
        with server.client() as client:
            client.create_bucket(Bucket=BUCKET)
            for name, content in {
                "day 1/ä+1.jpg": pictures.group(1, 2),
                "2.jpg": pictures.photo(1),
                "text.jpg": b"no photo",
                "empty.jpg": b"",
                "large.jpg": bytes(2 * 1024 * 1024 + 1),
            }.items():
                client.put_object(Bucket=BUCKET, Key=name, Body=content)
        yield server


@pytest.fixture
async def allowing(settings: Settings, store: SeaweedFS) -> AsyncIterator[Running]:
    """An app whose operator allows the object store."""
    async with AsyncExitStack() as stack:
        allowed = {"object_store_endpoints": [store.endpoint], "max_waiting_photos": 8}
        yield await start(settings.model_copy(update=allowed), stack)


@pytest.fixture
async def owner(allowing: Running, store: SeaweedFS) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        made = await sign_up_at(allowing, stack)
        await create(made)
        await choose(made, store.endpoint)
        yield made


async def choose(account: Account, endpoint: str) -> None:
    body = {"endpoint": endpoint, "access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY}
    assert (await account.client.put("/object-store", json=body)).status_code == 200


async def take(account: Account, *names: str, bucket: str = BUCKET, **body: Any) -> list[dict[str, Any]]:
    sent = {"bucket": bucket, "names": names, **body}
    answer = await account.client.post(f"/albums/{ALBUM}/fetch", json=sent)
    assert answer.status_code == 202, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def get(account: Account, external_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await account.client.get(f"/albums/{ALBUM}/photos/{external_id}")).json()
    return found


async def test_photos_are_fetched_and_found(owner: Account, allowing: Running) -> None:
    items = await take(owner, "day 1/ä+1.jpg", "2.jpg")
    assert [item["answer"]["state"] for item in items] == ["received"] * 2
    assert [item["answer"]["is_new"] for item in await take(owner, "day 1/ä+1.jpg", "2.jpg")] == [False, False]
    (other,) = await take(owner, "day 1/ä+1.jpg", external_ids=["2.jpg"])
    assert other["problem"]["code"] == "photo_exists"
    assert problem(await put(owner, "2.jpg", pictures.photo(1))) == "409 photo_exists"
    async with allowing.state.album_worker.running():
        assert (await finished(owner))["done"] == 2
    found = await search(owner, pictures.photo(1, take=1), decision="match")
    assert sorted(item["external_id"] for item in found["items"]) == ["2.jpg", "day 1/ä+1.jpg"]
    assert await allowing.state.spool.count_objects() == 0


async def test_faces_are_shown_from_the_object_store(owner: Account, allowing: Running, store: SeaweedFS) -> None:
    with store.client() as client:
        client.put_object(Bucket=BUCKET, Key="changing.jpg", Body=pictures.group(1, 2))
    await take(owner, "changing.jpg")
    async with allowing.state.album_worker.running():
        assert (await finished(owner))["done"] == 1
    stored = (await owner.client.get(f"/collections/{ALBUM}/faces")).json()["items"]
    paths = {one["face_id"]: f"/albums/{ALBUM}/faces/{one['face_id']}/picture" for one in stored}
    assert len(paths) == 2
    for face_id, path in paths.items():
        answer = await owner.client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
        found = (await owner.send("/recognize", answer.content, collection=ALBUM)).json()["faces"][0]["candidates"][0]
        assert (found["face_id"], found["decision"]) == (face_id, "match")
    with store.client() as client:
        client.put_object(Bucket=BUCKET, Key="changing.jpg", Body=pictures.landscape())
    assert {problem(await owner.client.get(path)) for path in paths.values()} == {"404 face_not_found"}
    with store.client() as client:
        client.delete_object(Bucket=BUCKET, Key="changing.jpg")
    assert {problem(await owner.client.get(path)) for path in paths.values()} == {"422 object_unavailable"}


async def test_what_cannot_be_fetched_says_why(owner: Account, allowing: Running) -> None:
    names = ["2.jpg", "missing.jpg", "text.jpg", "empty.jpg", "large.jpg", "../2.jpg"]
    await take(owner, *names)
    (elsewhere,) = await take(owner, "2.jpg", bucket="nobodys", external_ids=["elsewhere"])
    assert elsewhere["answer"]["is_new"]
    async with allowing.state.album_worker.running():
        counts = await finished(owner)
    assert (counts["done"], counts["failed"]) == (1, 6)
    listed = (await owner.client.get(f"/albums/{ALBUM}/photos")).json()["items"]
    assert {one["external_id"]: (one["code"], one["can_retry"]) for one in listed} == {
        "2.jpg": (None, False),
        "missing.jpg": ("object_unavailable", False),
        "text.jpg": ("image_unreadable", False),
        "empty.jpg": ("image_empty", False),
        "large.jpg": ("image_too_large", False),
        "../2.jpg": ("object_unavailable", False),
        "elsewhere": ("object_unavailable", False),
    }
    assert "404" in (await get(owner, "missing.jpg"))["detail"]
    (again,) = await take(owner, "2.jpg", external_ids=["missing.jpg"])  # it failed, so it may be another one
    assert again["answer"]["is_new"]


async def test_no_store_is_set(owner: Account, allowing: Running) -> None:
    await owner.client.delete("/object-store")
    await take(owner, "2.jpg")
    async with allowing.state.album_worker.running():
        assert (await finished(owner))["failed"] == 1
    photo = await get(owner, "2.jpg")
    assert (photo["code"], photo["can_retry"]) == ("object_store_not_set", False)
    assert "PUT /api/v1/object-store" in photo["detail"]


async def test_a_store_that_is_away_is_asked_again(settings: Settings, database: Database, tmp_path: Path) -> None:
    with serving_objects(tmp_path) as store:
        with store.client() as client:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="1.jpg", Body=pictures.photo(1))
        async with AsyncExitStack() as stack:
            allowed = settings.model_copy(update={"object_store_endpoints": [store.endpoint]})
            running = await start(allowed, stack)
            owner = await sign_up_at(running, stack)
            await create(owner)
            await choose(owner, store.endpoint)
            await take(owner, "1.jpg", "2.jpg")
            await put(owner, "3.jpg", pictures.photo(3))
            store.stop()
            async with running.state.album_worker.running():
                await fetched(database, owner, 1)
                counts = (await owner.client.get(f"/albums/{ALBUM}")).json()["photos"]
                assert (counts["done"], counts["received"]) == (1, 2)  # the photo that was sent does not wait for them
                await hasten(database, owner)
                await fetched(database, owner, 2)
                await hasten(database, owner)
                assert (await finished(owner))["failed"] == 2
                photo = await get(owner, "1.jpg")
                assert (photo["code"], photo["can_retry"]) == ("object_store_unavailable", True)
                store.start()
                retried = await owner.client.post(f"/albums/{ALBUM}/retry")
                assert retried.json() == {"retried": 2}
                assert (await finished(owner))["done"] == 2
                assert (await get(owner, "2.jpg"))["code"] == "object_unavailable"


async def fetched(database: Database, account: Account, times: int) -> None:
    """Wait until the store of the album's two photos was away so often."""
    deadline = time.monotonic() + 60
    while True:
        async with database.transaction(account.tenant_id) as session:
            waiting = "SELECT count(*) FROM photos WHERE state = 'received' AND source IS NOT NULL AND fetches = :times"
            if await session.scalar(text(waiting), {"times": times}) == 2:
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def hasten(database: Database, account: Account) -> None:
    """Let photos that wait for their store be fetched now; they count as old enough for another turn."""
    async with database.transaction(account.tenant_id) as session:
        later = (
            "UPDATE photos SET not_before = now(), received_at = now() - interval '1 minute' WHERE state = 'received'"
        )
        await session.execute(text(later))


async def test_what_is_refused(owner: Account) -> None:
    path = f"/albums/{ALBUM}/fetch"
    for body, field in (
        ({"bucket": BUCKET, "names": []}, "names"),
        ({"bucket": BUCKET, "names": ["a"] * 1001}, "names"),
        ({"bucket": BUCKET, "names": ["a", "a"]}, "names"),
        ({"bucket": BUCKET, "names": ["a" * 256]}, "names"),
        ({"bucket": BUCKET, "names": ["a" * 1025], "external_ids": ["a"]}, "names.0"),
        ({"bucket": BUCKET, "names": ["a", "b"], "external_ids": ["a"]}, "external_ids"),
        ({"bucket": BUCKET, "names": ["a", "b"], "external_ids": ["a", "a"]}, "external_ids"),
        ({"bucket": "a/b", "names": ["a"]}, "bucket"),
        ({"bucket": "..", "names": ["a"]}, "bucket"),
        ({"names": ["a"]}, "bucket"),
    ):
        answer = await owner.client.post(path, json=body)
        assert problem(answer) == "422 invalid_parameter"
        assert answer.json()["errors"][0]["field"] == field, answer.text
    items = await take(owner, *(f"{index}.jpg" for index in range(10)))
    refused = [item["problem"]["code"] for item in items if item["problem"]]
    assert refused == ["too_many_photos_waiting"] * 2
    await owner.client.patch(f"/albums/{ALBUM}", json={"closed": True})
    assert problem(await owner.client.post(path, json={"bucket": BUCKET, "names": ["a"]})) == "409 album_closed"
