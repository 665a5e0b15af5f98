"""Videos that lie elsewhere: uploaded to the bucket by the caller, or in the tenant's own object store."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem, sign_up_at, start
from tests.api.test_album_sources import choose
from tests.api.test_albums import ALBUM, create
from tests.api.test_videos import ended, people, send
from tests.seaweed import BUCKET, SeaweedFS, serving_objects
from tests.videos import Part, film

PREFIX = "films"
MAX_BYTES = 9 * 1024 * 1024


@pytest.fixture(scope="module")
def video() -> bytes:
    """Larger than a part: behind the video comes what no decoder reads."""
    return film([Part(1, 0, 2)], 2, per_second=4) + bytes(8 * 1024 * 1024)


@pytest.fixture
async def bucketed(settings: Settings, objects: SeaweedFS) -> AsyncIterator[Running]:
    """An app whose files wait in a bucket, and whose operator allows the same server as an object store."""
    async with AsyncExitStack() as stack:
        chosen = {**settings.model_dump(), **objects.settings(PREFIX), "max_waiting_videos": 3}
        chosen |= {"object_store_endpoints": [objects.endpoint], "max_video_bytes": MAX_BYTES}
        yield await start(Settings.model_validate(chosen), stack)
    assert objects.keys(f"{PREFIX}/") == []


@pytest.fixture
async def owner(bucketed: Running, objects: SeaweedFS) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        made = await sign_up_at(bucketed, stack)
        await create(made)
        await choose(made, objects.endpoint)
        yield made
        await made.client.delete(f"/albums/{ALBUM}")
        await bucketed.state.album_worker.empty_spool()


async def announce(account: Account, external_id: str = "a.mp4", **fields: Any) -> dict[str, Any]:
    body = {"album": ALBUM, "external_id": external_id, **fields}
    answer = await account.client.post("/videos/uploads", json=body)
    assert answer.status_code == 201, answer.text
    announced: dict[str, Any] = answer.json()
    return announced


async def upload(announced: dict[str, Any], data: bytes) -> httpx.Response:
    form = announced["upload"]
    async with httpx.AsyncClient() as client:
        return await client.post(form["url"], data=form["fields"], files={"file": data})


async def take(account: Account, name: str, external_id: str = "a.mp4", **fields: Any) -> httpx.Response:
    body = {"album": ALBUM, "external_id": external_id, "bucket": BUCKET, "name": name, **fields}
    return await account.client.post("/videos", json=body)


async def test_an_uploaded_video(owner: Account, bucketed: Running, objects: SeaweedFS, video: bytes) -> None:
    announced = await announce(owner, samples_per_second=1)
    video_id = announced["video_id"]
    assert (announced["state"], announced["is_new"], announced["upload"]["max_bytes"]) == ("announced", True, MAX_BYTES)
    assert problem(await owner.client.post(f"/videos/{video_id}/uploaded")) == "409 video_not_uploaded"
    again = await announce(owner)
    assert (again["video_id"], again["is_new"]) == (video_id, False)
    assert (await upload(again, video)).status_code == 204
    uploaded = await owner.client.post(f"/videos/{video_id}/uploaded")
    assert (uploaded.status_code, uploaded.json()["state"]) == (202, "received")
    refused = await owner.client.post("/videos/uploads", json={"album": ALBUM, "external_id": "a.mp4"})
    assert problem(refused) == "409 video_exists"
    async with bucketed.state.album_worker.running():
        done = await ended(owner, video_id)
    assert (done["state"], done["code"], done["people"]) == ("done", None, 1), done
    assert len(await people(owner, video_id)) == 1
    assert (await send(owner, video)).status_code == 200  # the same one
    assert objects.keys(f"{PREFIX}/") == []


async def test_an_uploaded_video_is_found_without_being_told(
    owner: Account, bucketed: Running, objects: SeaweedFS, video: bytes
) -> None:
    announced = await announce(owner)
    await upload(announced, video)
    async with bucketed.state.album_worker.running():
        assert (await ended(owner, announced["video_id"]))["state"] == "done"
    assert objects.keys(f"{PREFIX}/") == []


async def test_the_bucket_takes_no_larger_video(owner: Account, objects: SeaweedFS) -> None:
    announced = await announce(owner)
    too_large = await upload(announced, bytes(MAX_BYTES + 1))
    assert (too_large.status_code, "EntityTooLarge" in too_large.text) == (400, True)
    objects.write(announced["upload"]["fields"]["key"], bytes(MAX_BYTES + 1))  # the bucket took it nevertheless
    assert problem(await owner.client.post(f"/videos/{announced['video_id']}/uploaded")) == "422 video_too_large"
    failed = (await owner.client.get(f"/videos/{announced['video_id']}")).json()
    assert (failed["state"], failed["code"]) == ("failed", "video_too_large")


async def test_what_never_arrives_is_forgotten(owner: Account, bucketed: Running, database: Database) -> None:
    announced = await announce(owner)
    async with database.transaction(owner.tenant_id) as session:
        await session.execute(text("UPDATE videos SET received_at = now() - interval '61 minutes'"))
    async with bucketed.state.album_worker.running():
        deadline = time.monotonic() + 30
        while (await owner.client.get(f"/videos/{announced['video_id']}")).status_code != 404:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def test_a_deleted_video_is_deleted_again_when_its_form_has_expired(
    owner: Account, bucketed: Running, objects: SeaweedFS, database: Database
) -> None:
    announced = await announce(owner)
    await upload(announced, b"one")
    assert (await owner.client.delete(f"/videos/{announced['video_id']}")).status_code == 204
    assert objects.keys(f"{PREFIX}/") == []
    await upload(announced, b"another")
    assert len(objects.keys(f"{PREFIX}/")) == 1
    async with database.transaction() as session:
        key = {"key": f"{owner.tenant_id}/%"}
        await session.execute(text("UPDATE discarded_objects SET discarded_at = now() WHERE object_key LIKE :key"), key)
    await bucketed.state.album_worker.empty_spool()
    assert objects.keys(f"{PREFIX}/") == []


async def test_an_expired_form_is_refused(owner: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.persistence.upload_forms.LIFETIME", timedelta(seconds=-1))
    answer = await upload(await announce(owner), b"late")
    assert (answer.status_code, "expired" in answer.text) == (403, True)


async def test_a_video_of_the_object_store(owner: Account, bucketed: Running, objects: SeaweedFS, video: bytes) -> None:
    objects.write("day 1/ä+1.mp4", video)
    received = await take(owner, "day 1/ä+1.mp4")
    assert (received.status_code, received.json()["state"], received.json()["is_new"]) == (202, "received", True)
    assert (await take(owner, "day 1/ä+1.mp4")).json()["is_new"] is False
    assert problem(await take(owner, "other.mp4")) == "409 video_exists"
    async with bucketed.state.album_worker.running():
        done = await ended(owner, received.json()["video_id"])
    assert (done["state"], done["people"]) == ("done", 1), done
    assert objects.keys("day 1/") == ["day 1/ä+1.mp4"]  # the tenant's own


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("missing.mp4", None, "object_unavailable"),
        ("../a.mp4", None, "object_unavailable"),
        ("empty.mp4", b"", "video_unreadable"),
        ("photo.mp4", pictures.photo(1), "video_unreadable"),
        ("large.mp4", bytes(MAX_BYTES + 1), "video_too_large"),
    ],
)
async def test_what_cannot_be_fetched_says_why(
    owner: Account, bucketed: Running, objects: SeaweedFS, name: str, content: bytes | None, code: str
) -> None:
    if content is not None:
        objects.write(name, content)
    received = await take(owner, name)
    async with bucketed.state.album_worker.running():
        failed = await ended(owner, received.json()["video_id"])
    assert (failed["state"], failed["code"]) == ("failed", code), failed
    assert failed["detail"]
    assert (await take(owner, name)).json()["is_new"]  # it failed, so it may be another one


async def test_no_object_store_is_set(owner: Account, bucketed: Running) -> None:
    await owner.client.delete("/object-store")
    received = await take(owner, "a.mp4")
    async with bucketed.state.album_worker.running():
        assert (await ended(owner, received.json()["video_id"]))["code"] == "object_store_not_set"


async def test_a_store_that_is_away_is_asked_three_times(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with serving_objects(tmp_path) as store:
        async with AsyncExitStack() as stack:
            allowed = settings.model_copy(update={"object_store_endpoints": [store.endpoint]})
            running = await start(allowed, stack)
            owner = await sign_up_at(running, stack)
            await create(owner)
            await choose(owner, store.endpoint)
            video_id = (await take(owner, "a.mp4")).json()["video_id"]
            store.stop()
            async with running.state.album_worker.running():
                deadline = time.monotonic() + 60
                while (await owner.client.get(f"/videos/{video_id}")).json()["state"] != "failed":
                    assert time.monotonic() < deadline
                    async with database.transaction(owner.tenant_id) as session:  # they would wait for 20 seconds
                        await session.execute(
                            text("UPDATE video_steps SET waiting_since = now() - interval '1 minute'")
                        )
                    await asyncio.sleep(0.1)
                async with database.transaction(owner.tenant_id) as session:
                    assert await session.scalar(text("SELECT max(attempts) FROM video_steps")) == 3
            assert (await owner.client.get(f"/videos/{video_id}")).json()["code"] == "object_store_unavailable"


async def test_what_is_refused(owner: Account, admin: Account, stranger: Account) -> None:
    refused: list[dict[str, Any]] = [
        {"bucket": ".."},
        {"bucket": "a/b"},
        {"name": "a" * 1025},
        {"name": ""},
        {"samples_per_second": 0},
        {"url": "https://example.com/a.mp4"},
    ]
    for fields in refused:
        assert problem(await take(owner, **{"name": "a.mp4", **fields})) == "422 invalid_parameter"
    for content in (b"[]", b"{", b"nothing"):
        answer = await owner.client.post("/videos", content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
    large = await owner.client.post("/videos", json={"album": "a" * 2_000_000})
    assert large.status_code == 413
    for number in range(3):
        await announce(owner, f"{number}.mp4")
    assert problem(await take(owner, "a.mp4")) == "429 too_many_videos_waiting"
    one = {"album": ALBUM, "external_id": "b.mp4"}
    await owner.client.patch(f"/albums/{ALBUM}", json={"closed": True})
    assert problem(await owner.client.post("/videos/uploads", json=one)) == "409 album_closed"
    assert problem(await stranger.client.post("/videos/uploads", json=one)) == "404 album_not_found"
    await create(admin)  # of a server that keeps files in a directory
    answer = await admin.client.post("/videos/uploads", json=one)
    assert problem(answer) == "422 uploads_need_bucket"
    assert "VULTUS_PHOTO_STORE" in answer.json()["detail"]
