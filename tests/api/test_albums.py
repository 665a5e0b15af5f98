"""Albums: photos in, faces and states out; what is bad stays visible, and what is erased is gone everywhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.permissions import Permission, Plan, Quota
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory, TenantDirectory
from app.services.maintenance.template_rotation import TemplateRotation
from tests import pictures
from tests.api.conftest import Account, Running, problem

ALBUM = "party"


@pytest.fixture
async def working(running: Running) -> AsyncIterator[None]:
    """A worker in this process."""
    async with running.state.album_worker.running():
        yield


async def create(account: Account, name: str = ALBUM, **fields: Any) -> dict[str, Any]:
    answer = await account.client.post("/albums", json={"id": name, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def put(account: Account, external_id: str, image: bytes, album: str = ALBUM) -> Any:
    files = {"image": ("a.jpg", image, "image/jpeg")}
    return await account.client.put(f"/albums/{album}/photos/{external_id}", files=files)


async def finished(account: Account, album: str = ALBUM) -> dict[str, Any]:
    """Wait until nothing waits; return the photos' counts."""
    deadline = time.monotonic() + 60
    while True:
        counts: dict[str, Any] = (await account.client.get(f"/albums/{album}")).json()["photos"]
        if not counts["received"] + counts["working"]:
            return counts
        assert time.monotonic() < deadline, counts
        await asyncio.sleep(0.05)


async def search(account: Account, *selfies: bytes, album: str = ALBUM, **fields: str) -> dict[str, Any]:
    files = [("images", (f"{index}.jpg", image)) for index, image in enumerate(selfies)]
    answer = await account.client.post(f"/albums/{album}/search", data=fields, files=files)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_everybodys_photos_are_found_by_a_selfie(admin: Account, working: None) -> None:
    await create(admin, expected=3)
    for name, image in (("1.jpg", pictures.group(1, 2)), ("2.jpg", pictures.group(2, 3)), ("3.jpg", pictures.photo(1))):
        answer = await put(admin, name, image)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "received"
        assert answer.json()["is_new"]
    counts = await finished(admin)
    assert (counts["done"], counts["failed"], counts["faces"], counts["total"]) == (3, 0, 5, 3)
    found = await search(admin, pictures.photo(1, take=1), decision="match")
    assert sorted(item["external_id"] for item in found["items"]) == ["1.jpg", "3.jpg"]
    assert found["total"] == 2
    both = await search(admin, pictures.photo(1), pictures.photo(2), match="all", decision="match")
    assert [item["external_id"] for item in both["items"]] == ["1.jpg"]
    assert {face["person"] for face in both["items"][0]["faces"]} == {0, 1}
    either = await search(admin, pictures.photo(1), pictures.photo(2), match="any", decision="match")
    assert either["total"] == 3
    first = await search(admin, pictures.photo(1), pictures.photo(2), decision="match", limit="2")
    rest = await search(
        admin, pictures.photo(1), pictures.photo(2), decision="match", limit="2", cursor=first["next_cursor"]
    )
    assert [*first["items"], *rest["items"]] == either["items"]
    assert rest["next_cursor"] is None
    photo = (await admin.client.get(f"/albums/{ALBUM}/photos/1.jpg")).json()
    assert (photo["state"], photo["faces"], photo["code"]) == ("done", 2, None)
    assert (photo["width"], photo["height"]) == (510, 360)


async def test_registered_people_are_found_too(ada: Account, working: None) -> None:
    await create(ada)
    await put(ada, "1.jpg", pictures.group(1, 2))
    await put(ada, "2.jpg", pictures.photo(3))
    await finished(ada)
    body: dict[str, Any] = {"people": [{"collection": "default", "subject": "ada"}], "decision": "match"}
    by_subject = (await ada.client.post(f"/albums/{ALBUM}/search/people", json=body)).json()
    assert [item["external_id"] for item in by_subject["items"]] == ["1.jpg"]
    face_id = (await ada.client.get("/collections/default/subjects/ada/faces")).json()["items"][0]["face_id"]
    body["people"] = [{"collection": "default", "face_id": face_id}]
    by_face = (await ada.client.post(f"/albums/{ALBUM}/search/people", json=body)).json()
    assert by_face["items"] == by_subject["items"]
    in_album = by_subject["items"][0]["faces"][0]["face_id"]
    body["people"] = [{"collection": ALBUM, "face_id": in_album}]
    itself = (await ada.client.post(f"/albums/{ALBUM}/search/people", json=body)).json()
    similarity = itself["items"][0]["faces"][0]["similarity"]
    assert similarity == pytest.approx(1, abs=2e-4)  # half precision changes the length of a stored embedding
    for people, expected in (
        ([{"collection": "default", "subject": "nobody"}], "404 subject_not_found"),
        ([{"collection": "default", "face_id": in_album}], "404 face_not_found"),
        ([{"collection": "nowhere", "subject": "ada"}], "404 collection_not_found"),
        ([{"collection": "default"}], "422 invalid_parameter"),
        ([], "422 invalid_parameter"),
    ):
        answer = await ada.client.post(f"/albums/{ALBUM}/search/people", json={"people": people})
        assert problem(answer) == expected


async def test_each_bad_photo_says_why_and_the_others_go_on(admin: Account, running: Running) -> None:
    await create(admin)
    sent = {
        "good.jpg": pictures.photo(1),
        "nobody.jpg": pictures.landscape(),
        "text.jpg": b"this is no photo",
        "cut.jpg": pictures.photo(2)[:5000],
        "huge.png": pictures.encode(pictures.portrait(1).resize((2001, 2000)), "PNG"),
        "small.jpg": pictures.encode(pictures.portrait(3).resize((24, 24))),
    }
    for name, image in sent.items():
        assert (await put(admin, name, image)).status_code == 202
    empty = await put(admin, "empty.jpg", b"")
    assert problem(empty) == "422 image_empty"
    large = await put(admin, "large.jpg", b"\xff" * (2 * 1024 * 1024 + 1))
    assert problem(large) == "413 image_too_large"
    async with running.state.album_worker.running():
        counts = await finished(admin)
    assert (counts["done"], counts["failed"], counts["faces"]) == (3, 3, 1)
    photos = {one["external_id"]: one for one in (await admin.client.get(f"/albums/{ALBUM}/photos")).json()["items"]}
    assert {name: one["code"] for name, one in photos.items()} == {
        "good.jpg": None,
        "nobody.jpg": "no_face",
        "text.jpg": "image_unreadable",
        "cut.jpg": "image_truncated",
        "huge.png": "image_too_many_pixels",
        "small.jpg": "no_face",
    }
    assert "4002000" in photos["huge.png"]["detail"].replace(",", "")
    failed = (await admin.client.get(f"/albums/{ALBUM}/photos", params={"state": "failed"})).json()["items"]
    assert [one["external_id"] for one in failed] == ["text.jpg", "cut.jpg", "huge.png"]
    assert not any(one["can_retry"] for one in failed)
    assert await running.state.spool.count_objects() == 0
    again = await put(admin, "cut.jpg", pictures.photo(2))  # what failed may be sent again, whatever it is
    assert (again.status_code, again.json()["state"]) == (202, "received")
    async with running.state.album_worker.running():
        assert (await finished(admin))["failed"] == 2


async def test_an_interrupted_upload_goes_on(admin: Account, running: Running) -> None:
    await create(admin)
    first = await put(admin, "dir/1.jpg", pictures.photo(1))
    assert first.status_code == 202
    again = await put(admin, "dir/1.jpg", pictures.photo(1))
    assert (again.status_code, again.json()["is_new"]) == (200, False)
    assert again.json()["image_id"] == first.json()["image_id"]
    assert problem(await put(admin, "dir/1.jpg", pictures.photo(2))) == "409 photo_exists"
    await asyncio.gather(*(put(admin, "2.jpg", pictures.photo(2)) for _ in range(5)))
    assert await running.state.spool.count_objects() == 2
    async with running.state.album_worker.running():
        assert (await finished(admin))["faces"] == 2
    done = await put(admin, "dir/1.jpg", pictures.photo(1))
    assert (done.status_code, done.json()["state"], done.json()["faces"]) == (200, "done", 1)
    assert await running.state.spool.count_objects() == 0


async def test_several_photos_each_with_its_own_verdict(admin: Account, working: None) -> None:
    await create(admin)
    images = [pictures.photo(1), b"", pictures.photo(2)]
    files = [("images", (f"{index}.jpg", image)) for index, image in enumerate(images)]
    url = f"/albums/{ALBUM}/photos"
    answer = await admin.client.post(url, data={"external_ids": '["a", "b", "c"]'}, files=files)
    assert answer.status_code == 202, answer.text
    items = answer.json()["items"]
    assert [(one["external_id"], one["problem"] and one["problem"]["code"]) for one in items] == [
        ("a", None),
        ("b", "image_empty"),
        ("c", None),
    ]
    as_fields = await admin.client.post(url, data={"external_ids": ["a", "b", "c"]}, files=files)
    assert [one["external_id"] for one in as_fields.json()["items"]] == ["a", "b", "c"]
    for ids in ('["a"]', '["a", "a", "b"]', "a", '{"a": 1}', "[1, 2, 3]", "[]"):
        refused = await admin.client.post(url, data={"external_ids": ids}, files=files)
        assert problem(refused) == "422 invalid_parameter", ids
        assert refused.json()["errors"][0]["field"].startswith("external_ids")
    assert (await finished(admin))["done"] == 2


async def test_a_closed_album_takes_no_photos(admin: Account) -> None:
    await create(admin)
    closed = await admin.client.patch(f"/albums/{ALBUM}", json={"closed": True})
    assert closed.json()["closed_at"] is not None
    assert problem(await put(admin, "1.jpg", pictures.photo(1))) == "409 album_closed"
    await admin.client.patch(f"/albums/{ALBUM}", json={"closed": False})
    assert (await put(admin, "1.jpg", pictures.photo(1))).status_code == 202


async def test_what_is_erased_is_gone_everywhere(admin: Account, running: Running) -> None:
    await create(admin)
    for name in ("1.jpg", "2.jpg"):
        await put(admin, name, pictures.photo(1))
    async with running.state.album_worker.running():
        await finished(admin)
    await put(admin, "waiting.jpg", pictures.photo(2))
    assert await running.state.spool.count_objects() == 1
    assert (await admin.client.delete(f"/albums/{ALBUM}/photos/waiting.jpg")).status_code == 204
    assert await running.state.spool.count_objects() == 0
    assert (await admin.client.delete(f"/albums/{ALBUM}/photos/1.jpg")).status_code == 204
    found = await search(admin, pictures.photo(1))
    assert [item["external_id"] for item in found["items"]] == ["2.jpg"]
    assert (await admin.client.get(f"/collections/{ALBUM}")).json()["subjects"] == 1
    assert problem(await admin.client.get(f"/albums/{ALBUM}/photos/1.jpg")) == "404 photo_not_found"
    await put(admin, "waiting.jpg", pictures.photo(2))
    assert (await admin.client.delete(f"/albums/{ALBUM}")).status_code == 204
    assert await running.state.spool.count_objects() == 0
    for path in (f"/albums/{ALBUM}", f"/collections/{ALBUM}"):
        assert (await admin.client.get(path)).status_code == 404
    actions = [entry["action"] for entry in (await admin.client.get("/audit")).json()["items"]]
    assert {"album.created", "photos.processed", "photo.erased", "collection.erased"} <= set(actions)


async def test_an_album_erased_while_it_is_processed_leaves_nothing(admin: Account, running: Running) -> None:
    await create(admin)
    for index in range(40):
        await put(admin, f"{index}.jpg", pictures.photo(index % 8 + 1))
    async with running.state.album_worker.running():
        while not (await admin.client.get(f"/albums/{ALBUM}")).json()["photos"]["working"]:
            await asyncio.sleep(0.01)
        assert (await admin.client.delete(f"/albums/{ALBUM}")).status_code == 204
        await create(admin)
        await put(admin, "after.jpg", pictures.photo(1))
        assert (await finished(admin))["done"] == 1
    assert await running.state.spool.count_objects() == 0
    assert (await admin.client.get(f"/collections/{ALBUM}")).json()["templates"] == 1


async def test_an_expired_album_is_erased(admin: Account, running: Running) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    await create(admin, expires_at=soon.isoformat())
    await put(admin, "1.jpg", pictures.photo(1))
    await asyncio.sleep(1.1)
    async with running.state.album_worker.running():
        while (await admin.client.get(f"/albums/{ALBUM}")).status_code != 404:
            await asyncio.sleep(0.05)
    assert await running.state.spool.count_objects() == 0


async def test_a_full_quota_fails_photos_that_a_retry_may_store(
    admin: Account, running: Running, database: Database
) -> None:
    async with database.transaction(as_operator=True) as session:
        rates = {permission.value: "unlimited" for permission in Permission}
        await PlanDirectory(session).save(Plan("three faces", rates, {Quota.TEMPLATES: 3}))
        await TenantDirectory(session).set_plan(admin.tenant_id, "three faces")
    await create(admin)
    for index in range(1, 6):
        await put(admin, f"{index}.jpg", pictures.photo(index))
    async with running.state.album_worker.running():
        counts = await finished(admin)
    assert (counts["done"], counts["failed"], counts["faces"]) == (3, 2, 3)
    failed = (await admin.client.get(f"/albums/{ALBUM}/photos", params={"state": "failed"})).json()["items"]
    assert [(one["code"], one["can_retry"]) for one in failed] == [("quota_exceeded", True)] * 2
    assert await running.state.spool.count_objects() == 2
    async with database.transaction(as_operator=True) as session:
        await TenantDirectory(session).set_plan(admin.tenant_id, "free")
    assert (await admin.client.post(f"/albums/{ALBUM}/retry")).json() == {"retried": 2}
    async with running.state.album_worker.running():
        assert (await finished(admin))["done"] == 5
    assert await running.state.spool.count_objects() == 0


async def test_a_tenant_that_requires_consent_stores_no_strangers(admin: Account, running: Running) -> None:
    await create(admin)
    await admin.client.put("/policy", json={"consent_required": True})
    await put(admin, "1.jpg", pictures.photo(1))
    async with running.state.album_worker.running():
        assert (await finished(admin))["failed"] == 1
    photo = (await admin.client.get(f"/albums/{ALBUM}/photos/1.jpg")).json()
    assert (photo["code"], photo["can_retry"]) == ("consent_required", True)


async def test_an_album_needs_a_name_of_its_own(ada: Account) -> None:
    assert problem(await ada.client.post("/albums", json={"id": "default"})) == "409 collection_exists"
    await create(ada)
    assert problem(await ada.client.post("/albums", json={"id": ALBUM})) == "409 collection_exists"
    assert problem(await ada.client.get("/albums/default")) == "404 album_not_found"
    for body in (
        {},
        {"id": ".hidden"},
        {"id": "a", "keep": "photos"},
        {"id": "a", "expected": 0},
        {"id": "a", "expires_at": "2027-01-01"},
        {"id": "a", "expires_at": "2020-01-01T00:00:00Z"},
        {"id": "a", "colour": "blue"},
    ):
        assert problem(await ada.client.post("/albums", json=body)).startswith("422"), body


async def test_a_key_of_another_collection_sees_no_album(admin: Account, running: Running) -> None:
    await create(admin)
    key = {"name": "k", "scopes": ["register", "recognize", "delete"], "collections": ["default"]}
    issued = (await admin.client.post("/keys", json=key)).json()["key"]
    async with running.client(issued) as limited:
        assert (await limited.get("/albums")).json()["items"] == []
        assert problem(await limited.get(f"/albums/{ALBUM}")) == "404 album_not_found"
        files = {"image": ("a.jpg", pictures.photo(1))}
        sent = await limited.put(f"/albums/{ALBUM}/photos/1.jpg", files=files)
        assert problem(sent) == "404 album_not_found"
        assert problem(await limited.post("/albums", json={"id": "other"})) == "403 permission_denied"


async def test_a_worker_rotates_templates_and_everybody_is_found_as_before(
    admin: Account, running: Running, working: None
) -> None:
    await create(admin)
    await put(admin, "1.jpg", pictures.photo(1))
    await finished(admin)
    found = await search(admin, pictures.photo(1, take=1))
    rotation = TemplateRotation(running.state.database, running.state.keyring, running.state.trails)
    await rotation.request(admin.tenant_id)
    deadline = time.monotonic() + 30
    while not (await admin.client.get("/audit", params={"action": "templates.rotated"})).json()["items"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    again = await search(admin, pictures.photo(1, take=1))
    assert [one["external_id"] for one in again["items"]] == [one["external_id"] for one in found["items"]] == ["1.jpg"]


async def test_rekognition_finds_the_same_photos(admin: Account, working: None) -> None:
    """An album's faces are those of a collection: every other route works on them."""
    await create(admin)
    await put(admin, "1.jpg", pictures.group(1, 2))
    await finished(admin)
    faces = (await admin.client.get(f"/collections/{ALBUM}/faces")).json()["items"]
    assert [face["external_image_id"] for face in faces] == ["1.jpg"] * 2
    answer = await admin.send("/recognize", pictures.photo(2), collection=ALBUM)
    candidate = answer.json()["faces"][0]["candidates"][0]
    assert (candidate["external_image_id"], candidate["decision"]) == ("1.jpg", "match")
