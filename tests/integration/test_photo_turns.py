"""Turns, leases and the spool, against a real database: what a killed worker leaves behind is found and ended."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.domain.albums import Keep, PhotoState
from app.persistence.connections.database import Database
from app.persistence.job_queue import JobKind, enqueue, prune_log
from app.persistence.object_address import ObjectAddress
from app.persistence.photo_spool import PhotoSpool
from app.persistence.repositories.albums import AlbumRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.photo_turns import (
    FinishedPhoto,
    PhotoTurnRepository,
    find_tenants_with_lost_photos,
    forget_failed,
    measure_queue,
    start_photo,
)
from app.persistence.repositories.photos import PhotoRepository
from app.persistence.repositories.tenants import TenantDirectory
from app.security.keyring import Keyring
from app.security.photo_encryption import PhotoCipher
from app.services.albums.suspects import SuspectGate

KEYRING = Keyring([b"a secret for tests only, 32 bytes or more"])


@pytest.fixture
async def service(service_url: str) -> AsyncIterator[Database]:
    database = Database(service_url)
    yield database
    await database.close()


@pytest.fixture
async def album(service: Database) -> tuple[UUID, UUID]:
    """A tenant and its album."""
    tenant_id = uuid4()
    async with service.transaction(tenant_id) as session:
        await TenantDirectory(session).add(tenant_id, "tenant")
        created = await CollectionRepository(session, tenant_id).add("party")
        assert created is not None
        end = datetime.now(UTC) + timedelta(days=1)
        albums = AlbumRepository(session, tenant_id)
        await albums.add(created.id, title=None, keep=Keep.NOTHING, expected=None, expires_at=end)
    return tenant_id, created.id


async def add(service: Database, album: tuple[UUID, UUID], *names: str) -> list[UUID]:
    tenant_id, collection_id = album
    ids = [uuid4() for _ in names]
    async with service.transaction(tenant_id) as session:
        photos = PhotoRepository(session, tenant_id)
        for photo_id, name in zip(ids, names, strict=True):
            await photos.add(photo_id, collection_id, name)
    return ids


async def take(service: Database, tenant_id: UUID, lease_s: float = 60, limit: int = 16) -> tuple[UUID, list[str]]:
    lease = uuid4()
    async with service.transaction(tenant_id) as session:
        turns = PhotoTurnRepository(session, tenant_id)
        await turns.give_back_lost()
        return lease, [photo.external_id for photo in await turns.take(lease, lease_s, limit)]


async def finish(service: Database, tenant_id: UUID, photo_id: UUID) -> None:
    async with service.transaction(tenant_id) as session:
        await PhotoTurnRepository(session, tenant_id).finish([FinishedPhoto(photo_id, PhotoState.DONE, 10, 20, 1, 0)])


async def states(service: Database, album: tuple[UUID, UUID]) -> dict[str, tuple[str, str | None]]:
    tenant_id, collection_id = album
    async with service.transaction(tenant_id) as session:
        photos = await PhotoRepository(session, tenant_id).list_page(collection_id, None, None, 100)
    return {photo.external_id: (photo.state.value, photo.code) for photo in photos}


async def test_photos_are_taken_once_and_in_order(service: Database, album: tuple[UUID, UUID]) -> None:
    await add(service, album, *"abcdef")
    taken = await asyncio.gather(*(take(service, album[0], limit=2) for _ in range(5)))
    assert sorted("".join(names) for _, names in taken if names) == ["ab", "cd", "ef"]


async def test_a_lost_lease_finishes_nothing(service: Database, album: tuple[UUID, UUID]) -> None:
    (photo_id,) = await add(service, album, "a")
    first, _ = await take(service, album[0], lease_s=0)
    second, names = await take(service, album[0])
    assert names == ["a"]
    assert not await start_photo(service, album[0], photo_id, first, 60)
    assert await start_photo(service, album[0], photo_id, second, 60)
    async with service.transaction(album[0]) as session:
        turns = PhotoTurnRepository(session, album[0])
        assert await turns.lock_held(first, [photo_id]) == set()
        assert await turns.lock_held(second, [photo_id]) == {photo_id}
        await turns.finish([FinishedPhoto(photo_id, PhotoState.DONE, 10, 20, 1, 0)])
    assert await states(service, album) == {"a": ("done", None)}


async def test_a_photo_that_kills_its_worker_is_taken_alone_and_then_given_up(
    service: Database, album: tuple[UUID, UUID]
) -> None:
    harmful, innocent = await add(service, album, "harmful", "innocent")
    for expected in (["harmful", "innocent"], ["innocent"], ["harmful"], ["harmful"]):
        lease, names = await take(service, album[0], lease_s=0)
        assert names == expected
        if "harmful" in names:
            assert await start_photo(service, album[0], harmful, lease, 0)
        else:
            await finish(service, album[0], innocent)
    assert (await take(service, album[0]))[1] == []
    assert (await states(service, album))["harmful"] == ("failed", "poison")
    async with service.transaction() as session:
        keys = await session.scalars(text("SELECT object_key FROM discarded_objects"))
        assert f"{album[0]}/{harmful}" in set(keys)


async def test_a_photo_that_is_given_back_was_not_tried(service: Database, album: tuple[UUID, UUID]) -> None:
    (photo_id,) = await add(service, album, "a")
    for _ in range(5):
        lease, names = await take(service, album[0])
        assert names == ["a"]
        assert await start_photo(service, album[0], photo_id, lease, 60)
        async with service.transaction(album[0]) as session:
            assert await PhotoTurnRepository(session, album[0]).give_back(lease, [photo_id]) == 1


async def test_a_tenant_has_one_turn_at_a_time(service: Database, album: tuple[UUID, UUID]) -> None:
    async def begin() -> int | None:
        async with service.transaction(album[0]) as session:
            return await PhotoRepository(session, album[0]).begin_turn()

    numbers = await asyncio.gather(*(begin() for _ in range(10)))
    assert sorted(number for number in numbers if number is not None) == [1]
    async with service.transaction(album[0]) as session:
        await PhotoTurnRepository(session, album[0]).take_turn()
    assert await begin() == 2


async def test_a_photo_without_a_turn_is_found(service: Database, album: tuple[UUID, UUID]) -> None:
    await add(service, album, "a")
    async with service.transaction(album[0]) as session:
        number = await PhotoRepository(session, album[0]).begin_turn()
    assert number is not None
    assert album[0] in await find_tenants_with_lost_photos(service, 0)
    async with service.transaction(album[0]) as session:
        for _ in range(2):  # a turn of one number is added once
            await enqueue(session, JobKind.PHOTO_TURN, album[0], f"turn:{album[0]}:{number}")
    assert album[0] not in await find_tenants_with_lost_photos(service, 0)
    length = await measure_queue(service)
    assert length.received >= 1
    assert length.jobs >= 1
    await prune_log(service)
    await take(service, album[0], lease_s=0)
    assert album[0] in await find_tenants_with_lost_photos(service, 3600)  # its lease ran out


async def test_a_failed_photo_is_kept_for_a_day(
    service: Database, database: Database, album: tuple[UUID, UUID]
) -> None:
    (photo_id,) = await add(service, album, "a")
    lease, _ = await take(service, album[0])
    async with service.transaction(album[0]) as session:
        turns = PhotoTurnRepository(session, album[0])
        await turns.lock_held(lease, [photo_id])
        failed = FinishedPhoto(photo_id, PhotoState.FAILED, code="quota_exceeded", detail="x", keeps_object=True)
        await turns.finish([failed])
    await forget_failed(service)
    async with service.transaction(album[0]) as session:
        found = await PhotoRepository(session, album[0]).find(album[1], "a")
        assert found is not None
        assert found.can_retry
        await session.execute(text("UPDATE photos SET finished_at = now() - interval '25 hours'"))
    assert await forget_failed(service) >= 1
    async with service.transaction(album[0]) as session:
        assert await PhotoRepository(session, album[0]).retry(album[1]) == 0


async def test_the_spool_keeps_ciphertext_and_forgets(service: Database, tmp_path: Path) -> None:
    spool = PhotoSpool(ObjectAddress.parse(str(tmp_path / "spool")), PhotoCipher(KEYRING))
    tenant_id, photo_id = uuid4(), uuid4()
    photo = b"\xff\xd8 a photo" * 1000
    key_id = await spool.put(tenant_id, photo_id, photo)
    (file,) = (path for path in (tmp_path / "spool").rglob("*") if path.is_file())
    assert b"a photo" not in file.read_bytes()
    assert await spool.get(tenant_id, photo_id, key_id) == photo
    async with service.transaction() as session:
        key = {"key": f"{tenant_id}/{photo_id}"}
        await session.execute(text("INSERT INTO discarded_objects (object_key) VALUES (:key)"), key)
    assert await spool.empty(service) >= 1
    assert await spool.count_objects() == 0


async def test_suspects_are_alone() -> None:
    gate, inside, most = SuspectGate(), 0, dict[bool, int]()

    async def enter(*, alone: bool) -> None:
        nonlocal inside
        async with gate.enter(alone=alone):
            inside += 1
            most[alone] = max(most.get(alone, 0), inside)
            await asyncio.sleep(0.005)
            inside -= 1

    await asyncio.gather(*(enter(alone=index % 4 == 0) for index in range(20)))
    assert most[True] == 1
    assert most[False] > 1
