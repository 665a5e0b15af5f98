"""The client that awaits; what it does with a real server."""

import contextlib
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image

from tests import pictures
from tests.clients.conftest import PASSWORD
from tests.clients.relays import relaying
from tests.receivers import Receiver, receiving
from tests.servers import serving
from vultus_client import ApiError, AsyncVultus, ConnectionLost, Photo, Retries, problems, verify_webhook


@pytest.fixture
async def vultus(client_server: str, api_key: str) -> AsyncIterator[AsyncVultus]:
    async with AsyncVultus(client_server, api_key=api_key) as client:
        yield client


async def test_signing_up_and_in_by_password(client_server: str) -> None:
    email = f"{uuid4().hex}@example.com"
    async with AsyncVultus(client_server, email=email, password=PASSWORD) as client:
        created = await client.sign_up("Acme")
        found = await client.me()
        assert (found["email"], found["tenant_id"]) == (email, created["tenant_id"])
        # A token that the server does not take is replaced.
        client._transport._token = "no token"
        assert (await client.me())["email"] == email
        # A token that expires soon is refreshed.
        client._transport._valid_until = 0.0
        assert (await client.me())["email"] == email
    async with AsyncVultus(client_server, email=email, password="wrong password") as client:
        with pytest.raises(problems.InvalidCredentials):
            await client.me()
    with pytest.raises(ValueError, match="api_key, a token, or an email"):
        AsyncVultus(client_server, api_key="one", token="two")


async def test_photos_from_a_path_bytes_a_file_and_an_array(vultus: AsyncVultus, tmp_path: Path) -> None:
    photo = pictures.photo(1)
    (tmp_path / "ada.jpg").write_bytes(photo)
    array = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
    sources: list[Photo] = [tmp_path / "ada.jpg", str(tmp_path / "ada.jpg"), photo, io.BytesIO(photo), array]
    for number, sent in enumerate(sources):
        registered = await vultus.register(f"emp-{number}", sent, name="Ada", metadata={"team": 7})
        assert [one["index"] for one in registered["templates"]] == [0]
    several = await vultus.register("emp-9", [pictures.photo(1, 1), pictures.photo(1, 2)], collection="default")
    assert [one["index"] for one in several["templates"]] == [0, 1]
    assert (await vultus.subjects.get("emp-4"))["metadata"] == {"team": 7}
    with pytest.raises(TypeError, match="uint8"):
        await vultus.detect(array.astype("float32"))
    with pytest.raises(TypeError, match="not int"):
        await vultus.detect(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="either URLs or files"):
        await vultus.register("emp-9", ["https://photos.example.com/1.jpg", photo])
    with pytest.raises(problems.ImageUrlNotAllowed):
        await vultus.recognize("https://photos.example.com/1.jpg")


async def test_every_way_to_ask_with_a_photo(vultus: AsyncVultus) -> None:
    await vultus.register("emp-1", pictures.photo(1))
    again, other = pictures.photo(1, 3), pictures.photo(2)
    (face,) = (await vultus.recognize(again, limit=1))["faces"]
    assert [(one["subject"], one["decision"]) for one in face["candidates"]] == [("emp-1", "match")]
    known, empty = (await vultus.recognize_batch([again, pictures.landscape()]))["items"]
    assert known["answer"] is not None
    assert known["answer"]["faces"][0]["candidates"][0]["subject"] == "emp-1"
    assert empty["answer"] is not None
    assert empty["answer"]["faces"] == []
    assert (await vultus.verify("emp-1", again))["decision"] == "match"
    assert (await vultus.compare(again, pictures.photo(1)))["targets"][0]["decision"] == "match"
    same, different = (await vultus.compare_batch(again, [pictures.photo(1), other]))["items"]
    assert same["answer"] is not None
    assert different["answer"] is not None
    assert same["answer"]["targets"][0]["similarity"] > different["answer"]["targets"][0]["similarity"]
    assert len((await vultus.detect(pictures.group(1, 2)))["faces"]) == 2
    assert len((await vultus.extract_batch([again, other]))["items"]) == 2
    extracted = await vultus.extract(again)
    found = await vultus.search(extracted["faces"][0]["embedding"], recognizer=extracted["recognizer"])
    assert found["candidates"][0]["subject"] == "emp-1"
    await vultus.collections.create("crowd")
    stored = await vultus.register_all(pictures.group(3, 4), collection="crowd", external_image_id="party.jpg")
    assert len(stored["stored"]) == 2


async def test_subjects_from_creation_to_erasure(vultus: AsyncVultus) -> None:
    subjects = vultus.subjects
    await subjects.create("emp-1", name="Ada", metadata={"team": 7}, consent="form 1")
    with pytest.raises(problems.SubjectExists):
        await subjects.create("emp-1")
    await vultus.register("emp-1", pictures.photo(1))
    await vultus.register("emp:2@é", pictures.photo(1, 2))
    changed = await subjects.change("emp-1", {"name": "Ada Acker", "metadata": None})
    assert (changed["name"], changed["metadata"]) == ("Ada Acker", {})
    assert [one["subject"] async for one in subjects.list(q="acker")] == ["emp-1"]
    assert [one["subject"] async for one in subjects.list(metadata={"team": 7})] == []
    assert [one["subject"] for one in (await subjects.similar("emp-1"))["candidates"]] == ["emp:2@é"]
    assert [one async for one in subjects.sightings("emp-1")] == []
    assert [one async for one in subjects.appearances("emp-1")] == []
    document = await subjects.export("emp:2@é")
    assert (await subjects.merge("emp:2@é", into="emp-1"))["faces"] == 1
    first, second = [one async for one in subjects.faces("emp-1")]
    await subjects.delete_face("emp-1", first["face_id"])
    assert [one["face_id"] async for one in subjects.faces("emp-1")] == [second["face_id"]]
    await vultus.collections.create("archive")
    assert (await subjects.move("emp-1", "archive"))["collection"] == "archive"
    assert (await subjects.delete("emp-1", collection="archive"))["receipt"]["action"] == "subject.erased"
    assert (await subjects.restore(document))["subject"] == "emp:2@é"
    await subjects.record_consent("emp:2@é", "form 2")
    await subjects.withdraw_consent("emp:2@é")
    assert [one async for one in subjects.faces("emp:2@é")] == []
    with pytest.raises(problems.SubjectNotFound) as raised:
        await subjects.get("emp-1")
    assert (raised.value.code, raised.value.status) == ("subject_not_found", 404)
    assert isinstance(raised.value, problems.NotFound)
    assert raised.value.request_id


async def test_problems_name_each_invalid_field(vultus: AsyncVultus) -> None:
    await vultus.register("emp-1", pictures.photo(1))
    with pytest.raises(problems.NoFace):
        await vultus.verify("emp-1", pictures.landscape())
    with pytest.raises(problems.ImageUnreadable):
        await vultus.recognize(b"no photo")
    with pytest.raises(ApiError) as raised:
        await vultus.recognize(pictures.photo(1), limit=-1)
    assert raised.value.status == 422
    assert [one["field"] for one in raised.value.errors] == ["limit"]


async def test_pages_are_read_to_the_end(vultus: AsyncVultus) -> None:
    ids = [f"emp-{number:03}" for number in range(210)]  # a page has at most 200
    for one in ids:
        await vultus.subjects.create(one)
    assert [one["subject"] async for one in vultus.subjects.list()] == ids


async def test_a_repeated_idempotency_key_does_nothing_twice(vultus: AsyncVultus) -> None:
    key = str(uuid4())
    first = await vultus.register("emp-1", pictures.photo(1), idempotency_key=key)
    assert await vultus.register("emp-1", pictures.photo(1), idempotency_key=key) == first
    assert len([one async for one in vultus.subjects.faces("emp-1")]) == 1


async def test_collections(vultus: AsyncVultus) -> None:
    collections = vultus.collections
    await collections.create("staff")
    with pytest.raises(problems.CollectionExists):
        await collections.create("staff")
    assert "staff" in [one["name"] async for one in collections.list()]
    await vultus.register("emp-1", pictures.photo(1), collection="staff", external_image_id="1.jpg")
    assert [one["subject"] async for one in collections.faces("staff", external_image_id="1.jpg")] == ["emp-1"]
    await collections.set_policy("staff", max_false_match_rate=1e-4, review_false_match_rate=1e-2)
    names = [one["recognizer"] for one in (await collections.recognizers("staff"))["recognizers"]]
    assert (await collections.recognizers("staff"))["in_use"] in names
    with pytest.raises(problems.InvalidParameter):  # it has one subject
        await collections.calibrate("staff")
    await collections.set_pool("staff", retain_days=7)
    await collections.delete_pool("staff")
    receipt = await collections.delete_faces("staff", external_image_id="1.jpg")
    assert receipt["receipt"]["action"]
    await collections.delete("staff")
    with pytest.raises(problems.CollectionNotFound):
        await collections.get("staff")


async def test_the_account(vultus: AsyncVultus) -> None:
    issued = await vultus.keys.issue("door", ["recognize"], expires_at=datetime.now(UTC) + timedelta(days=1))
    follower = await vultus.keys.rotate(issued["key_id"])
    await vultus.keys.revoke(issued["key_id"])
    assert follower["key_id"] in [one["key_id"] async for one in vultus.keys.list()]
    async with AsyncVultus(str(vultus._transport.http.base_url), api_key=issued["key"]) as revoked:
        with pytest.raises(problems.AuthenticationFailed):
            await revoked.me()
    email = f"{uuid4().hex}@example.com"
    user = await vultus.users.add(email, PASSWORD, "viewer")
    assert (await vultus.users.set_role(user["user_id"], "operator"))["role"] == "operator"
    assert email in [one["email"] async for one in vultus.users.list()]
    await vultus.users.remove(user["user_id"])
    assert [one async for one in vultus.audit.list(action="user.removed", since=datetime(2020, 1, 1, tzinfo=UTC))]
    await vultus.detect(pictures.landscape())
    days = vultus.usage.list(since=(datetime.now(UTC) - timedelta(days=1)).date())
    assert [one["images"] async for one in days if one["operation"] == "detect"] == [1]
    policy = await vultus.tenant.policy()
    assert (await vultus.tenant.set_policy({**policy, "consent_required": True}))["consent_required"] is True
    assert (await vultus.tenant.get())["plan"]
    assert await vultus.request("GET", "/tenant") == await vultus.tenant.get()


async def test_an_interrupted_upload_of_an_album_continues(vultus: AsyncVultus, folder: Path) -> None:
    albums = vultus.albums
    created = await albums.create("party", title="Party", keep="crops", expected=6)
    assert created["title"] == "Party"

    def interrupt(_: str) -> None:
        raise KeyError("interrupted")

    with pytest.raises(KeyError):
        await albums.upload("party", folder, at_once=1, on_photo=interrupt)
    stored = sorted([one["external_id"] async for one in albums.photos("party")])
    assert stored[0] == "a/0.jpg"
    assert len(stored) < 6
    (folder / "b" / "9.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photo")
    (folder / "b" / "empty.jpg").write_bytes(b"")
    told: list[str] = []
    done = await albums.upload("party", folder, at_once=3, on_photo=told.append)
    assert done.skipped == stored
    assert sorted(done.sent) == sorted(told)
    assert done.refused["b/empty.jpg"].code == "image_empty"
    found = await albums.wait("party", timeout_s=60)
    assert found["photos"]["done"] == 6
    assert (await albums.photo("party", "a/0.jpg"))["state"] == "done"

    shown = await albums.search("party", pictures.photo(1, 1))
    assert sorted(str(one["external_id"]) for one in shown["items"]) == ["a/0.jpg", "a/2.jpg", "b/1.jpg"]
    assert (await albums.picture("party", shown["items"][0]["faces"][0]["face_id"])).startswith(b"\xff\xd8")
    await vultus.register("ada", pictures.photo(1))
    named = await albums.search_people("party", [("default", "ada")])
    assert named["total"] == 3
    assert [one async for one in albums.sightings("party", state="matched")] == []
    assert all([one["faces"] <= 3 async for one in albums.clusters("party")])

    link = await albums.issue_link("party", label="Guests", consent_text="I agree.")
    assert link["token"]
    await albums.revoke_link("party", link["link_id"])
    assert [one async for one in albums.links("party")] == []
    assert (await albums.put("party", "a/0.jpg", folder / "a" / "0.jpg"))["is_new"] is False
    await albums.delete_photo("party", "a/0.jpg")
    await albums.retry("party")
    assert (await albums.change("party", {"closed": True}))["closed_at"]
    with pytest.raises(problems.AlbumClosed):
        await albums.upload("party", {"late": pictures.photo(2)})
    assert [one["id"] async for one in albums.list()] == ["party"]
    await albums.delete("party")
    with pytest.raises(problems.NotFound):
        await albums.get("party")


async def test_events_are_followed_and_sent(vultus: AsyncVultus, receiver: Receiver) -> None:
    begun = datetime.now(UTC)
    created = await vultus.webhooks.create(f"{receiver.url}/hook", types=["subject.created"])
    hook = created["webhook_id"]
    secret = (await vultus.webhooks.rotate_secret(hook))["secret"]
    receiver.messages.clear()
    assert (await vultus.webhooks.test(hook))["is_delivered"] is True
    message = receiver.messages[0]
    event = verify_webhook(secret, message.headers, message.body)
    assert verify_webhook(created["secret"], message.headers, message.body) == event
    await vultus.subjects.create("emp-1")
    await vultus.subjects.create("emp-2")
    (first, second) = (await vultus.events.list(types=["subject.created"]))["items"]
    seen: list[int] = []
    async for one in vultus.events.follow(types=["subject.created"]):
        seen.append(one["seq"])
        if len(seen) == 2:
            break
    assert seen == [first["seq"], second["seq"]]
    assert (await vultus.webhooks.change(hook, {"description": "door"}))["description"] == "door"
    assert (await vultus.webhooks.get(hook))["url"] == f"{receiver.url}/hook"
    assert [one["webhook_id"] async for one in vultus.webhooks.list()] == [hook]
    sent = [one["event"]["seq"] async for one in vultus.webhooks.deliveries(hook)]
    assert {first["seq"], second["seq"]} <= set(sent)
    await vultus.webhooks.replay(hook, begun)
    await vultus.webhooks.delete(hook)
    with pytest.raises(problems.WebhookNotFound):
        await vultus.webhooks.get(hook)


async def test_following_events_goes_on_after_a_cut(vultus: AsyncVultus, api_key: str, client_server: str) -> None:
    with relaying(client_server) as relay:
        async with AsyncVultus(relay.url, api_key=api_key) as client:
            await client.subjects.create("emp-1")
            seen: list[str] = []
            async for one in client.events.follow(types=["subject.created"]):
                seen.append(one["data"]["subject"])
                if len(seen) == 2:
                    break
                relay.cut()
                await vultus.subjects.create("emp-2")
            assert seen == ["emp-1", "emp-2"]


async def sign_up_often(client: AsyncVultus) -> None:
    for _ in range(9):
        with contextlib.suppress(problems.EmailTaken):
            await client.sign_up("Acme")


async def test_a_rate_limit_is_waited_for(client_env: dict[str, str]) -> None:
    with serving(1, **client_env | {"VULTUS_PUBLIC_RATE": "2/3second"}) as (base, _):
        answers: list[int] = []

        async def note(response: httpx.Response) -> None:
            answers.append(response.status_code)

        async with httpx.AsyncClient(base_url=base, event_hooks={"response": [note]}) as http:
            for _ in range(3):
                email = f"{uuid4().hex}@example.com"
                await AsyncVultus(base, email=email, password=PASSWORD, http=http).sign_up("Acme")
            assert answers.count(201) == 3
            assert 429 in answers
            hasty = AsyncVultus(base, email="a@example.com", password=PASSWORD, http=http, retries=Retries(count=0))
            with pytest.raises(problems.TooManyRequests) as raised:
                await sign_up_often(hasty)
            assert raised.value.retry_after_s is not None
            assert raised.value.retry_after_s > 0


async def test_an_unavailable_server_is_asked_again_where_that_does_no_harm() -> None:
    with receiving() as receiver:
        receiver.headers = {"retry-after": "0"}
        receiver.respond = lambda before: 503 if before < 2 else 200
        async with AsyncVultus(receiver.url, api_key="key") as client:
            await client.register("emp-1", b"photo")
            assert [one.status for one in receiver.messages] == [503, 503, 200]
            keys = {one.headers["idempotency-key"] for one in receiver.messages}
            assert len(keys) == 1
            receiver.messages.clear()
            with pytest.raises(ApiError) as raised:
                await client.keys.issue("door", ["recognize"])  # a lost answer may have made a key
            assert (raised.value.status, len(receiver.messages)) == (503, 1)
            receiver.messages.clear()
            receiver.headers = {"retry-after": "61"}
            with pytest.raises(ApiError):
                await client.recognize(b"photo")
            assert len(receiver.messages) == 1


async def test_a_server_that_is_away() -> None:
    async with AsyncVultus("http://127.0.0.1:9", api_key="key", retries=Retries(count=1)) as client:
        with pytest.raises(ConnectionLost):
            await client.me()
        with pytest.raises(ConnectionLost):
            await anext(client.events.follow())
