"""The progress of a video as server-sent events, from a real server with a worker inside."""

from uuid import uuid4

import httpx

from app.persistence.connections.database import Database
from app.persistence.repositories.videos import follow_videos
from tests.api.conftest import Account, problem
from tests.api.test_album_events import Event, events
from tests.api.test_albums import ALBUM, create
from tests.api.test_videos import send
from tests.cli.test_serve import service_env
from tests.servers import serving
from tests.videos import Part, film

__all__ = ["service_env"]


async def test_progress_is_streamed_until_the_video_is_erased(service_env: dict[str, str]) -> None:
    data = film([Part(1, 0, 70)], 70, per_second=1)
    with serving(1, **service_env | {"VULTUS_ALBUM_WORKER": "true"}) as (base, _):
        async with httpx.AsyncClient(base_url=f"{base}/api/v1", timeout=60) as client:
            login = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery"}
            await client.post("/auth/signup", json={"tenant": "Acme", **login})
            form = {"username": login["email"], "password": login["password"]}
            token = (await client.post("/auth/token", data=form)).json()["access_token"]
            client.headers["authorization"] = f"Bearer {token}"
            assert problem(await client.get(f"/videos/{uuid4()}/events")) == "404 video_not_found"
            await client.post("/albums", json={"id": ALBUM})
            fields = {"album": ALBUM, "external_id": "a.mp4"}
            sent = await client.post("/videos", data=fields, files={"video": ("a.mp4", data)})
            path = f"/videos/{sent.json()['video_id']}"
            seen: list[Event] = []
            async with client.stream("GET", f"{path}/events") as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                async for event in events(answer):
                    seen.append(event)
                    if event["event"] == "done":
                        headers = {"last-event-id": event["id"]}
                        async with client.stream("GET", f"{path}/events", headers=headers) as again:
                            await client.delete(path)
                            assert [one["event"] async for one in events(again)] == ["erased"]
    *before, done, erased = seen
    assert (done["event"], erased["event"]) == ("done", "erased")
    assert {one["event"] for one in before} <= {"progress"}
    assert (done["data"]["state"], done["data"]["people"], done["data"]["code"]) == ("done", 1, None)
    assert done["data"]["position_ms"] == done["data"]["duration_ms"] == 70_000
    positions = [one["data"]["position_ms"] for one in [*before, done]]
    assert positions == sorted(positions)
    assert len({one.get("id") for one in seen}) == len(seen)


async def test_a_video_that_waits_is_not_done(ada: Account, database: Database) -> None:
    await create(ada)
    video_id = (await send(ada, b"no video")).json()["video_id"]
    watched = (ada.tenant_id, uuid4())
    assert await follow_videos(database, [watched]) == {}
    (position,) = (await follow_videos(database, [(ada.tenant_id, video_id)])).values()
    assert (position.state, position.waiting, position.is_done) == ("received", 1, False)
