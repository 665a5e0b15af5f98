"""Photos that callers upload to the bucket themselves, over HTTP, with the forms that they receive."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.upload_forms import UploadSigner
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem, sign_up_at, start
from tests.api.test_albums import ALBUM, create, finished, put, search
from tests.seaweed import BUCKET, SeaweedFS

PREFIX = "uploaded"
MAX_BYTES = 2 * 1024 * 1024


@pytest.fixture
async def bucketed(settings: Settings, objects: SeaweedFS) -> AsyncIterator[Running]:
    """An app whose photos wait in a bucket that forgets everything after a day."""
    day = {"ID": "waiting", "Status": "Enabled", "Filter": {"Prefix": f"{PREFIX}/"}, "Expiration": {"Days": 1}}
    with objects.client() as client:
        client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [day]})
    async with AsyncExitStack() as stack:
        chosen = {**settings.model_dump(), **objects.settings(PREFIX), "max_waiting_photos": 6}
        yield await start(Settings.model_validate(chosen), stack)
    with objects.client() as client:
        client.delete_bucket_lifecycle(Bucket=BUCKET)


@pytest.fixture
async def owner(bucketed: Running) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        made = await sign_up_at(bucketed, stack)
        await create(made)
        yield made


async def announce(account: Account, *external_ids: str) -> list[dict[str, Any]]:
    photos = [{"external_id": one} for one in external_ids]
    answer = await account.client.post(f"/albums/{ALBUM}/uploads", json={"photos": photos})
    assert answer.status_code == 201, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    assert [item["external_id"] for item in items] == list(external_ids)
    return items


async def complete(account: Account, *external_ids: str) -> list[str]:
    """What became of each photo: its state, or the problem's code."""
    body = {"external_ids": external_ids}
    answer = await account.client.post(f"/albums/{ALBUM}/uploads/complete", json=body)
    assert answer.status_code == 202, answer.text
    items = answer.json()["items"]
    return [item["answer"]["state"] if item["answer"] else item["problem"]["code"] for item in items]


async def upload(item: dict[str, Any], image: bytes, **fields: str) -> httpx.Response:
    form = item["answer"]["upload"]
    async with httpx.AsyncClient() as client:
        return await client.post(form["url"], data={**form["fields"], **fields}, files={"file": image})


async def counts(account: Account) -> dict[str, Any]:
    found: dict[str, Any] = (await account.client.get(f"/albums/{ALBUM}")).json()["photos"]
    return found


async def test_uploaded_photos_are_found(owner: Account, bucketed: Running, objects: SeaweedFS) -> None:
    items = await announce(owner, "1.jpg", "2.jpg", "3.jpg")
    form = items[0]["answer"]["upload"]
    assert form["max_bytes"] == MAX_BYTES
    left = datetime.fromisoformat(form["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    assert form["fields"]["key"] == f"{PREFIX}/{owner.tenant_id}/{items[0]['answer']['image_id']}"
    assert "the secret of the tests' spool" not in str(items)
    assert [item["answer"]["state"] for item in items] == ["announced"] * 3
    assert (await counts(owner))["announced"] == (await counts(owner))["total"] == 3
    assert (await counts(owner))["received"] == 0
    for item, image in zip(items, (pictures.group(1, 2), pictures.photo(1)), strict=False):
        assert (await upload(item, image)).status_code == 204
    assert await complete(owner, "1.jpg", "2.jpg", "3.jpg", "4.jpg") == [
        "received",
        "received",
        "photo_not_uploaded",
        "photo_not_found",
    ]
    assert await complete(owner, "1.jpg") == ["received"]
    listed = await owner.client.get(f"/albums/{ALBUM}/photos", params={"state": "announced"})
    assert [photo["external_id"] for photo in listed.json()["items"]] == ["3.jpg"]
    async with bucketed.state.album_worker.running():
        assert (await finished(owner))["done"] == 2
    found = await search(owner, pictures.photo(1, take=1), decision="match")
    assert sorted(item["external_id"] for item in found["items"]) == ["1.jpg", "2.jpg"]
    assert await complete(owner, "1.jpg") == ["done"]
    assert objects.keys(f"{PREFIX}/") == []


async def test_the_bucket_takes_no_other_upload(owner: Account, objects: SeaweedFS) -> None:
    (item,) = await announce(owner, "1.jpg")
    key = item["answer"]["upload"]["fields"]["key"]
    too_large = await upload(item, bytes(MAX_BYTES + 1))
    assert (too_large.status_code, "EntityTooLarge" in too_large.text) == (400, True)
    assert (await upload(item, b"")).status_code == 400
    other_key = await upload(item, pictures.photo(1), key=key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert (other_key.status_code, "AccessDenied" in other_key.text) == (403, True)
    forged = await upload(item, pictures.photo(1), policy=item["answer"]["upload"]["fields"]["policy"][:-4] + "AAA=")
    assert forged.status_code in (400, 403)
    assert objects.keys(f"{PREFIX}/") == []
    assert await complete(owner, "1.jpg") == ["photo_not_uploaded"]


async def test_an_expired_form_is_refused(
    owner: Account, bucketed: Running, objects: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.persistence.upload_forms.LIFETIME", timedelta(seconds=-1))
    (item,) = await announce(owner, "1.jpg")
    answer = await upload(item, pictures.photo(1))
    assert (answer.status_code, "expired" in answer.text) == (403, True)
    assert objects.keys(f"{PREFIX}/") == []


async def test_uploads_are_found_without_being_told(owner: Account, bucketed: Running, objects: SeaweedFS) -> None:
    arrived, _ = await announce(owner, "1.jpg", "2.jpg")
    await upload(arrived, pictures.photo(1))
    async with bucketed.state.album_worker.running():
        await until(owner, done=1, announced=1)
    assert objects.keys(f"{PREFIX}/") == []


async def test_what_never_arrives_is_forgotten(
    owner: Account, bucketed: Running, objects: SeaweedFS, database: Database
) -> None:
    await announce(owner, "1.jpg", "2.jpg")
    async with database.transaction(owner.tenant_id) as session:
        old = "UPDATE photos SET received_at = now() - interval '61 minutes' WHERE external_id = '1.jpg'"
        await session.execute(text(old))
    async with bucketed.state.album_worker.running():
        await until(owner, announced=1)
    assert problem(await owner.client.get(f"/albums/{ALBUM}/photos/1.jpg")) == "404 photo_not_found"


async def test_a_deleted_photo_is_deleted_again_when_its_form_has_expired(
    owner: Account, bucketed: Running, objects: SeaweedFS, database: Database
) -> None:
    (item,) = await announce(owner, "1.jpg")
    await upload(item, pictures.photo(1))
    assert (await owner.client.delete(f"/albums/{ALBUM}/photos/1.jpg")).status_code == 204
    assert objects.keys(f"{PREFIX}/") == []
    await upload(item, pictures.photo(1))
    assert len(objects.keys(f"{PREFIX}/")) == 1
    await bucketed.state.album_worker.empty_spool()
    assert len(objects.keys(f"{PREFIX}/")) == 1
    async with database.transaction() as session:
        due = await session.execute(
            text("UPDATE discarded_objects SET discarded_at = now() WHERE object_key LIKE :key RETURNING again_at"),
            {"key": f"{owner.tenant_id}/%"},
        )
        assert due.scalars().all() == [None]
    await bucketed.state.album_worker.empty_spool()
    assert objects.keys(f"{PREFIX}/") == []
    async with database.transaction() as session:
        left = text("SELECT count(*) FROM discarded_objects WHERE object_key LIKE :key")
        assert await session.scalar(left, {"key": f"{owner.tenant_id}/%"}) == 0


async def test_announcing_again(owner: Account, bucketed: Running, objects: SeaweedFS) -> None:
    first, _ = await announce(owner, "1.jpg", "2.jpg")
    again, _ = await announce(owner, "1.jpg", "2.jpg")
    assert again["answer"]["image_id"] == first["answer"]["image_id"]
    assert (first["answer"]["is_new"], again["answer"]["is_new"]) == (True, False)
    assert (await put(owner, "2.jpg", pictures.photo(2))).status_code == 202  # sent after all
    await upload(again, b"no photo at all")
    assert await complete(owner, "1.jpg") == ["received"]
    refused = await announce(owner, "1.jpg", "2.jpg")
    assert [item["problem"]["code"] for item in refused] == ["photo_exists"] * 2
    async with bucketed.state.album_worker.running():
        await until(owner, done=1, failed=1)
    (anew,) = await announce(owner, "1.jpg")
    assert anew["answer"]["image_id"] != first["answer"]["image_id"]
    await upload(anew, pictures.photo(1))
    assert await complete(owner, "1.jpg") == ["received"]
    assert (await owner.client.delete(f"/albums/{ALBUM}")).status_code == 204
    assert objects.keys(f"{PREFIX}/") == []


async def test_a_photo_that_the_bucket_took_though_it_is_too_large_fails(owner: Account, objects: SeaweedFS) -> None:
    (item,) = await announce(owner, "1.jpg")
    objects.write(item["answer"]["upload"]["fields"]["key"], bytes(MAX_BYTES + 1))
    assert await complete(owner, "1.jpg") == ["image_too_large"]
    photo = (await owner.client.get(f"/albums/{ALBUM}/photos/1.jpg")).json()
    assert (photo["state"], photo["code"], photo["can_retry"]) == ("failed", "image_too_large", False)


async def test_as_many_may_be_announced_as_may_wait(owner: Account) -> None:
    items = await announce(owner, *(f"{index}.jpg" for index in range(8)))
    assert [item["problem"] and item["problem"]["code"] for item in items] == [
        *[None] * 6,
        *["too_many_photos_waiting"] * 2,
    ]


async def test_what_is_refused(owner: Account, admin: Account) -> None:
    path = f"/albums/{ALBUM}/uploads"
    for body, expected in (
        ({"photos": []}, "422 invalid_parameter"),
        ({"photos": [{"external_id": str(index)} for index in range(101)]}, "422 invalid_parameter"),
        ({"photos": [{"external_id": "a"}, {"external_id": "a"}]}, "422 invalid_parameter"),
        ({"photos": [{"external_id": "a", "size": 1}]}, "422 invalid_parameter"),
    ):
        assert problem(await owner.client.post(path, json=body)) == expected
    twice = await owner.client.post(f"{path}/complete", json={"external_ids": ["a", "a"]})
    assert problem(twice) == "422 invalid_parameter"
    await owner.client.patch(f"/albums/{ALBUM}", json={"closed": True})
    one = {"photos": [{"external_id": "a"}]}
    assert problem(await owner.client.post(path, json=one)) == "409 album_closed"
    await create(admin)  # of a server that keeps photos in a directory
    answer = await admin.client.post(path, json=one)
    assert problem(answer) == "422 uploads_need_bucket"
    assert "VULTUS_PHOTO_STORE" in answer.json()["detail"]


async def test_forms_name_the_address_that_callers_reach() -> None:
    login = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    signer = UploadSigner("photos", "", endpoint="https://photos.example", region="eu-west-1", login=login)
    tenant_id = photo_id = uuid4()
    (form,) = await signer.sign(tenant_id, [photo_id], 10)
    assert form.url == "https://photos.example/photos"
    assert form.fields["key"] == f"{tenant_id}/{photo_id}"
    aws = UploadSigner("photos", "", endpoint=None, region="eu-west-1", login=login)
    (form,) = await aws.sign(tenant_id, [photo_id], 10)
    assert form.url == "https://photos.s3.eu-west-1.amazonaws.com/"


async def until(account: Account, **expected: int) -> None:
    """Wait until the album has so many photos in these states, and no others."""
    wanted = {**dict.fromkeys(("announced", "received", "working", "done", "failed"), 0), **expected}
    deadline = time.monotonic() + 60
    while True:
        found = await counts(account)
        if {state: found[state] for state in wanted} == wanted:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
