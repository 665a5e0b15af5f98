"""Photos that wait in a bucket: encrypted, gone when they are finished, and safe while the bucket is away."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem, sign_up_at, start
from tests.api.test_albums import ALBUM, create, finished, put, search
from tests.seaweed import BUCKET, SeaweedFS, serving_objects

PREFIX = "a/prefix"


@pytest.fixture
async def bucketed(settings: Settings, objects: SeaweedFS) -> AsyncIterator[Running]:
    """An app whose photos wait in the bucket."""
    async with AsyncExitStack() as stack:
        chosen = {**settings.model_dump(), **objects.settings(PREFIX)}
        yield await start(Settings.model_validate(chosen), stack)


@pytest.fixture
async def owner(bucketed: Running) -> AsyncIterator[Account]:
    """The admin of a new tenant of that app."""
    async with AsyncExitStack() as stack:
        yield await sign_up_at(bucketed, stack)


async def test_photos_wait_in_a_bucket_and_leave_it(owner: Account, bucketed: Running, objects: SeaweedFS) -> None:
    await create(owner)
    sent = {"1.jpg": pictures.group(1, 2), "2.jpg": pictures.photo(1), "3.jpg": pictures.photo(3)}
    for name, image in sent.items():
        assert (await put(owner, name, image)).status_code == 202
    keys = objects.keys(f"{PREFIX}/{owner.tenant_id}/")
    assert len(keys) == 3
    for key in keys:
        stored = objects.read(key)
        assert not any(image[:32] in stored or image[200:264] in stored for image in sent.values())
    assert (await owner.client.delete(f"/albums/{ALBUM}/photos/3.jpg")).status_code == 204
    assert len(objects.keys(f"{PREFIX}/{owner.tenant_id}/")) == 2  # deleted in the background of the answer
    async with bucketed.state.album_worker.running():
        assert (await finished(owner))["done"] == 2
    assert objects.keys(f"{PREFIX}/") == []
    found = await search(owner, pictures.photo(1, take=1), decision="match")
    assert sorted(item["external_id"] for item in found["items"]) == ["1.jpg", "2.jpg"]
    await put(owner, "4.jpg", pictures.photo(4))
    assert (await owner.client.delete(f"/albums/{ALBUM}")).status_code == 204
    assert objects.keys(f"{PREFIX}/") == []


async def test_an_altered_photo_is_lost(owner: Account, bucketed: Running, objects: SeaweedFS) -> None:
    await create(owner)
    for name in ("altered", "replaced", "removed", "whole"):
        await put(owner, name, pictures.photo(1))
    prefix = f"{PREFIX}/{owner.tenant_id}"
    ids = {
        name: (await owner.client.get(f"/albums/{ALBUM}/photos/{name}")).json()["image_id"]
        for name in ("altered", "replaced", "removed", "whole")
    }
    content = bytearray(objects.read(f"{prefix}/{ids['altered']}"))
    content[-1] ^= 1
    objects.write(f"{prefix}/{ids['altered']}", bytes(content))
    objects.write(f"{prefix}/{ids['replaced']}", objects.read(f"{prefix}/{ids['whole']}"))
    with objects.client() as client:
        client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{ids['removed']}")
    async with bucketed.state.album_worker.running():
        counts = await finished(owner)
    assert (counts["done"], counts["failed"]) == (1, 3)
    for name in ("altered", "replaced", "removed"):
        photo = (await owner.client.get(f"/albums/{ALBUM}/photos/{name}")).json()
        assert (photo["state"], photo["code"], photo["can_retry"]) == ("failed", "photo_lost", False)
    assert objects.keys(f"{PREFIX}/") == []


async def test_photos_outlast_a_bucket_that_is_away(settings: Settings, database: Database, tmp_path: Path) -> None:
    with serving_objects(tmp_path) as objects:
        async with AsyncExitStack() as stack:
            chosen = {**settings.model_dump(), **objects.settings(PREFIX)}
            running = await start(Settings.model_validate(chosen), stack)
            owner = await sign_up_at(running, stack)
            await create(owner)
            assert (await put(owner, "1.jpg", pictures.photo(1))).status_code == 202
            objects.stop()
            answer = await put(owner, "2.jpg", pictures.photo(2))
            assert problem(answer) == "503 photo_store_unavailable"
            assert "retry-after" in answer.headers
            assert problem(await owner.client.get(f"/albums/{ALBUM}/photos/2.jpg")) == "404 photo_not_found"
            assert await discarded(database, owner) == 1  # the store may have it, or receive it yet
            async with running.state.album_worker.running():
                await wait_for_another_turn(database, owner)
                assert (await states(owner))["1.jpg"] in ("received", "working")
                objects.start()
                assert (await finished(owner))["done"] == 1
            assert (await put(owner, "2.jpg", pictures.photo(2))).status_code == 202
            assert (await owner.client.delete(f"/albums/{ALBUM}")).status_code == 204
            assert objects.keys(f"{PREFIX}/") == []
            async with database.transaction() as session:
                await session.execute(text("UPDATE discarded_objects SET discarded_at = now()"))
            await running.state.album_worker.empty_spool()
            assert await discarded(database, owner) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory], check=False)
    if mount.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield directory
    subprocess.run(["umount", directory], check=True)


async def test_a_full_disk_refuses_photos(settings: Settings, small_disk: Path) -> None:
    async with AsyncExitStack() as stack:
        spool = small_disk / "photos"
        running = await start(settings.model_copy(update={"photo_store": str(spool)}), stack)
        owner = await sign_up_at(running, stack)
        await create(owner)
        assert (await put(owner, "1.jpg", pictures.photo(1))).status_code == 202
        large = pictures.photo(2) + bytes(1 << 20)
        assert problem(await put(owner, "2.jpg", large)) == "503 photo_store_unavailable"
        assert await states(owner) == {"1.jpg": "received"}
        assert len([path for path in spool.rglob("*") if path.is_file()]) == 1
        async with running.state.album_worker.running():
            assert (await finished(owner))["done"] == 1
        assert [path for path in spool.rglob("*") if path.is_file()] == []


async def states(account: Account) -> dict[str, str]:
    listed = (await account.client.get(f"/albums/{ALBUM}/photos")).json()["items"]
    return {photo["external_id"]: photo["state"] for photo in listed}


async def discarded(database: Database, account: Account) -> int:
    """Count the objects of the tenant that are to be deleted."""
    async with database.transaction() as session:
        noted = text("SELECT count(*) FROM discarded_objects WHERE object_key LIKE :key")
        return await session.scalar(noted, {"key": f"{account.tenant_id}/%"}) or 0


async def wait_for_another_turn(database: Database, account: Account) -> None:
    """Wait until a turn ended without its photos, and they have another one; they count as old enough for it."""
    async with database.transaction(account.tenant_id) as session:
        await session.execute(text("UPDATE photos SET received_at = now() - interval '1 minute'"))
    deadline = time.monotonic() + 60
    while True:
        async with database.transaction(account.tenant_id) as session:
            number = await session.scalar(text("SELECT number FROM photo_turns"))
        if number > 1:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
