"""Videos: who appears in them and when, found again, corrected and erased; what is bad stays visible."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.repositories.video_steps import VideoStepRepository
from app.services.videos.watching import VideoWatcher
from tests import hostile_videos, pictures
from tests.api.conftest import Account, Running, problem
from tests.api.test_albums import ALBUM, create, search
from tests.api.test_sightings import decide
from tests.videos import Part, film

# Person 1 (ada) is seen twice, person 2 in between and at the same time as person 1 at the end.
SCRIPT = [Part(1, 0, 3), Part(2, 4, 10, 480, 300), Part(1, 7, 10, 150, 200, take=2)]


@pytest.fixture(scope="module")
def video() -> bytes:
    return film(SCRIPT, 10, per_second=4)


async def send(account: Account, data: bytes, external_id: str = "a.mp4", **fields: Any) -> httpx.Response:
    return await account.client.post(
        "/videos", data={"album": ALBUM, "external_id": external_id, **fields}, files={"video": ("a.mp4", data)}
    )


async def ended(account: Account, video_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while True:
        found: dict[str, Any] = (await account.client.get(f"/videos/{video_id}")).json()
        if found["state"] in ("done", "failed"):
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


async def people(account: Account, video_id: str) -> list[dict[str, Any]]:
    answer = await account.client.get(f"/videos/{video_id}/people")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["people"]
    return found


def named(items: list[dict[str, Any]]) -> dict[str | None, list[tuple[float, float]]]:
    """The intervals of each subject, in whole seconds."""
    return {
        one["subject"] and one["subject"]["subject"]: [
            (round(interval["begin_ms"] / 1000), round(interval["end_ms"] / 1000)) for interval in one["intervals"]
        ]
        for one in items
    }


async def test_who_appears_and_when(ada: Account, running: Running, video: bytes, database: Database) -> None:
    await create(ada, people=["default"])
    received = await send(ada, video)
    assert received.status_code == 202, received.text
    video_id = received.json()["video_id"]
    assert (await send(ada, video)).status_code == 200
    assert problem(await send(ada, video + b"0")) == "409 video_exists"
    async with running.state.album_worker.running():
        done = await ended(ada, video_id)
        assert (done["state"], done["code"], done["people"]) == ("done", None, 2), done
        assert (done["width"], done["height"], done["codec"]) == (640, 360, "h264")
        assert done["position_ms"] == done["duration_ms"]
        found = await people(ada, video_id)
        assert named(found) == {"ada": [(0, 2), (7, 10)], None: [(4, 10)]}
        vtt = await ada.client.get(f"/videos/{video_id}/people.vtt")
        assert vtt.headers["content-type"].startswith("text/vtt")
        assert vtt.text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nAda Acker\n")
        searched = await ada.send("/videos/search", pictures.photo(2, take=3), album=ALBUM)
        (hit,) = searched.json()["items"]
        assert (hit["external_id"], hit["decision"]) == ("a.mp4", "match")
        assert (await search(ada, pictures.photo(2, take=3)))["items"] == []
        await ada.register("bob", pictures.photo(2))
        await until_named(ada, video_id, {"ada", "bob"})
        (seen,) = (await ada.client.get("/collections/default/subjects/bob/appearances")).json()["items"]
        assert (seen["video_id"], seen["state"]) == (video_id, "matched")
        await decide(ada, {"face_id": seen["face_id"], "verdict": "reject"})
        await until_named(ada, video_id, {"ada", None})
    assert await left(running, database, ada) == (0, 0)
    assert (await ada.client.delete(f"/videos/{video_id}")).status_code == 204
    assert problem(await ada.client.get(f"/videos/{video_id}")) == "404 video_not_found"
    assert (await ada.client.get(f"/collections/{ALBUM}")).json()["templates"] == 0
    assert (await ada.client.get(f"/albums/{ALBUM}/sightings")).json()["items"] == []


async def until_named(account: Account, video_id: str, subjects: set[str | None]) -> None:
    deadline = time.monotonic() + 30
    while set(named(await people(account, video_id))) != subjects:
        assert time.monotonic() < deadline, await people(account, video_id)
        await asyncio.sleep(0.1)


async def hasten(database: Database, account: Account) -> None:
    """Let steps that were given back be done again now; they would wait for 20 seconds."""
    async with database.transaction(account.tenant_id) as session:
        await session.execute(
            text("UPDATE video_steps SET waiting_since = now() - interval '1 minute' WHERE state = 'waiting'")
        )


async def left(running: Running, database: Database, account: Account) -> tuple[int, int]:
    """How many parts of videos lie in the spool, and how many embeddings in rows of steps."""
    await running.state.album_worker.empty_spool()
    async with database.transaction(account.tenant_id) as session:
        parts = await session.scalar(text("SELECT coalesce(sum(cardinality(parts)), 0) FROM videos"))
        faces = await session.scalar(text("SELECT count(*) FROM appearances WHERE faces IS NOT NULL"))
    directory = running.state.settings.resolved_data_dir / "photos" / str(account.tenant_id)
    objects = len(list(directory.glob("*"))) if directory.exists() else 0
    return int(parts or 0) + objects, int(faces or 0)


async def test_a_step_that_is_lost_is_done_again_and_nobody_appears_twice(
    ada: Account, running: Running, video: bytes, database: Database
) -> None:
    await create(ada)
    video_id = (await send(ada, video)).json()["video_id"]
    lost = 0
    async with running.state.album_worker.running():
        deadline = time.monotonic() + 120
        while (await ada.client.get(f"/videos/{video_id}")).json()["state"] != "done":
            assert time.monotonic() < deadline
            if lost < 2:
                async with database.transaction(ada.tenant_id) as session:
                    taken = text(
                        "UPDATE video_steps SET lease = gen_random_uuid(), leased_until = now() - interval '1 second' "
                        "WHERE state = 'working' RETURNING number"
                    )
                    lost += len((await session.execute(taken)).all())
            await asyncio.sleep(0.05)
    assert len(await people(ada, video_id)) == 2
    assert (await ada.client.get(f"/albums/{ALBUM}")).status_code == 200


async def test_a_video_that_kills_its_workers_fails(
    ada: Account, running: Running, video: bytes, database: Database
) -> None:
    await create(ada)
    video_id = (await send(ada, video)).json()["video_id"]
    async with running.state.database.transaction(ada.tenant_id) as session:
        await session.execute(
            text("UPDATE video_steps SET state = 'working', attempts = 5, leased_until = now() - interval '1 second'")
        )
        steps = VideoStepRepository(session, ada.tenant_id)
        await steps.end_poisoned(await steps.give_back_lost())
    failed = (await ada.client.get(f"/videos/{video_id}")).json()
    assert (failed["state"], failed["code"]) == ("failed", "poison")
    assert await left(running, database, ada) == (0, 0)
    assert (await send(ada, video)).status_code == 202  # it may be sent again


BAD = {
    "nonsense": (b"no video" * 100, {}, "video_unreadable"),
    "photo": (pictures.photo(1), {}, "video_unreadable"),
    "long": (film([Part(1, 0, 2)], 2, per_second=4), {"max_minutes": "0.01"}, "video_too_long"),
    "12 hours": (hostile_videos.sparse(12), {}, "video_too_long"),
    "8K": (hostile_videos.gray(1, (7680, 4320)), {}, "video_too_large"),
    "becomes 8K": (hostile_videos.growing(), {}, "video_too_large"),
    "10,000 streams": (hostile_videos.with_streams(10_000), {}, "video_too_complex"),
    "encrypted": (hostile_videos.encrypted(), {}, "video_encrypted"),
    "sound": (hostile_videos.sound(), {}, "video_without_picture"),
    "0 frames": (hostile_videos.gray(0), {}, "video_without_picture"),
    "playlist": (hostile_videos.playlists("file:/etc/hostname")["concat"], {}, "video_unreadable"),
}


async def test_bad_videos_fail_with_a_reason(ada: Account, running: Running, database: Database) -> None:
    await create(ada)
    sent = {}
    for name, (data, fields, _) in BAD.items():
        received = await send(ada, data, name, **fields)
        assert received.status_code == 202, received.text
        sent[name] = received.json()["video_id"]
    async with running.state.album_worker.running():
        found = {name: await ended(ada, video_id) for name, video_id in sent.items()}
    assert {name: (one["state"], one["code"]) for name, one in found.items()} == {
        name: ("failed", code) for name, (_, _, code) in BAD.items()
    }
    assert all(one["detail"] for one in found.values())
    assert await left(running, database, ada) == (0, 0)


async def test_a_video_without_anybody_is_done(ada: Account, running: Running) -> None:
    await create(ada)
    received = await send(ada, film([], 2, per_second=4))
    async with running.state.album_worker.running():
        done = await ended(ada, received.json()["video_id"])
    assert (done["state"], done["people"]) == ("done", 0)
    assert await people(ada, received.json()["video_id"]) == []


async def test_a_video_erased_while_it_is_processed_leaves_nothing(
    ada: Account, running: Running, video: bytes, database: Database
) -> None:
    await create(ada)
    video_id = (await send(ada, video)).json()["video_id"]
    async with running.state.album_worker.running():
        deadline = time.monotonic() + 60
        while (await ada.client.get(f"/videos/{video_id}")).json()["state"] == "received":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (await ada.client.delete(f"/videos/{video_id}")).status_code == 204
    assert await left(running, database, ada) == (0, 0)
    assert (await ada.client.get(f"/collections/{ALBUM}")).json()["templates"] == 0


async def test_forms_that_are_refused(ada: Account, stranger: Account, video: bytes) -> None:
    await create(ada)
    client = ada.client
    fields = {"album": ALBUM, "external_id": "b.mp4"}
    assert problem(await client.post("/videos", data=fields)).startswith("415")
    no_file = await client.post("/videos", data=fields, files={"image": ("a", b"1")})
    assert problem(no_file) == "422 invalid_parameter"
    for extra in ({"samples_per_second": "0"}, {"samples_per_second": "eleven"}, {"colour": "blue"}):
        answer = await client.post("/videos", data={**fields, **extra}, files={"video": ("a", video)})
        assert problem(answer) == "422 invalid_parameter"
    assert problem(await client.post("/videos", data=fields, files={"video": ("a", b"")})).startswith("422")
    boundary = "b" * 20
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="video"; filename="a"\r\n\r\nxx\r\n',
        *(f'--{boundary}\r\ncontent-disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()),
        f"--{boundary}--\r\n",
    ]
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    late = await client.post("/videos", content="".join(parts), headers=headers)
    assert late.status_code == 422
    assert problem(await client.get("/videos", params={"album": "nowhere"})) == "404 album_not_found"
    foreign = await stranger.client.post("/videos", data=fields, files={"video": ("a", video)})
    assert problem(foreign) == "404 album_not_found"
    listed = (await client.get("/videos", params={"album": ALBUM})).json()
    assert listed == {"items": [], "next_cursor": None}


async def test_videos_are_listed_in_pages(ada: Account) -> None:
    await create(ada)
    sent = [(await send(ada, b"no video %d" % number, f"{number}.mp4")).json() for number in range(3)]
    items, cursor = [], None
    while True:
        params: dict[str, Any] = {"limit": 2, "album": ALBUM} | ({"cursor": cursor} if cursor else {})
        page = (await ada.client.get("/videos", params=params)).json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [one["video_id"] for one in items] == [one["video_id"] for one in sent]
    assert (await ada.client.get("/videos", params={"state": "done"})).json()["items"] == []


async def test_an_error_of_ours_fails_the_video_in_the_end(
    ada: Account, running: Running, video: bytes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(VideoWatcher, "watch", fail)
    await create(ada)
    video_id = (await send(ada, video)).json()["video_id"]
    async with running.state.album_worker.running():
        deadline = time.monotonic() + 60
        while (await ada.client.get(f"/videos/{video_id}")).json()["state"] != "failed":
            assert time.monotonic() < deadline
            await hasten(database, ada)
            await asyncio.sleep(0.1)
    failed = (await ada.client.get(f"/videos/{video_id}")).json()
    assert failed["code"] == "internal_error"
    assert "TypeError" not in failed["detail"]
    assert await left(running, database, ada) == (0, 0)
