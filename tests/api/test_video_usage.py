"""Videos are counted in seconds, for a bill and toward a quota; what fails is not counted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import text

from app.main import render_error
from app.persistence.connections.database import Database
from app.persistence.repositories.video_meter import VideoMeterRepository
from app.routes.photo_paths import brings_video
from app.server.photo_gate import PhotoGate
from tests.api.conftest import Account, PutOnPlan, Running
from tests.api.test_albums import create
from tests.api.test_usage import usage
from tests.api.test_videos import ended, send
from tests.videos import Part, film

FILM = film([Part(1, 0, 3)], 3, per_second=4)


async def metered(account: Account) -> tuple[int, int]:
    """The seconds on the bill, and those of the quota."""
    quotas = (await account.client.get("/tenant")).json()["quotas"]
    return (await usage(account))["video_seconds"], quotas["video_seconds_a_month"]["used"]


async def test_a_video_is_counted_once_in_seconds(ada: Account, running: Running, database: Database) -> None:
    await create(ada)
    video_id = (await send(ada, FILM)).json()["video_id"]
    assert await metered(ada) == (0, 0)
    async with running.state.album_worker.running():
        await ended(ada, video_id)
    assert await metered(ada) == (3, 3)
    counts = await usage(ada)
    (item,) = [one for one in counts["items"] if one["operation"] == "add_video"]
    assert (item["calls"], item["images"], item["video_seconds"]) == (1, 0, 3)
    assert item["user_id"] is not None
    assert (await send(ada, FILM)).status_code == 200  # known already
    await ada.client.delete(f"/videos/{video_id}")
    assert await metered(ada) == (3, 3)
    async with database.transaction(ada.tenant_id) as session:
        await session.execute(text("UPDATE tenant_usage SET video_month = '2026-01-01'"))
    assert await metered(ada) == (3, 0)


async def test_what_fails_is_not_counted(ada: Account, running: Running, database: Database) -> None:
    await create(ada)
    received = await send(ada, b"no video" * 100, "bad.mp4")
    async with running.state.album_worker.running():
        await ended(ada, received.json()["video_id"])
    assert await metered(ada) == (0, 0)
    video_id = (await send(ada, FILM)).json()["video_id"]
    async with database.transaction(ada.tenant_id) as session:
        meter = VideoMeterRepository(session, ada.tenant_id)
        assert await meter.count(video_id, 3, None)
    assert await metered(ada) == (3, 3)
    async with database.transaction(ada.tenant_id) as session:
        for _ in range(2):
            await VideoMeterRepository(session, ada.tenant_id).take_back(video_id)
    assert await metered(ada) == (0, 0)


async def test_a_quota_is_not_exceeded(ada: Account, running: Running, put_on_plan: PutOnPlan) -> None:
    await put_on_plan(ada, video_seconds_a_month=7)
    await create(ada)
    sent = [(await send(ada, FILM, f"{number}.mp4")).json()["video_id"] for number in range(3)]
    async with running.state.album_worker.running():
        done = [await ended(ada, video_id) for video_id in sent]
    assert sorted((one["state"], one["code"]) for one in done) == [
        ("done", None),
        ("done", None),
        ("failed", "quota_exceeded"),
    ]
    (failed,) = [one for one in done if one["state"] == "failed"]
    assert "includes 7 video seconds a month; 3 more" in failed["detail"]
    assert await metered(ada) == (6, 6)


async def test_only_some_videos_arrive_at_a_time() -> None:
    """Slow uploads hold their places; the next one is refused before anything of it is read."""
    begun, release = asyncio.Semaphore(0), asyncio.Event()

    async def receive_slowly(scope: Any, receive: Any, send: Any) -> None:
        begun.release()
        if scope["method"] == "POST":
            await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    gate = PhotoGate(
        receive_slowly,
        render_error=render_error,
        has_photos=brings_video,
        max_in_flight=2,
        kind="uploads of videos",
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://vultus/api/v1") as client:
        headers = {"authorization": "Bearer one"}

        async def upload() -> httpx.Response:
            return await client.post("/videos", files={"video": b"video"}, headers=headers)

        slow = [asyncio.create_task(upload()) for _ in range(2)]
        for _ in slow:
            await begun.acquire()
        refused = await upload()
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert "2 uploads of videos are in flight" in refused.json()["detail"]
        assert (await client.get("/videos", headers=headers)).status_code == 200
        release.set()
        assert [(await one).status_code for one in slow] == [200, 200]


async def test_usage_of_other_days_is_left_alone(ada: Account, database: Database) -> None:
    """A video counts for the day on which it was sent."""
    await create(ada)
    video_id = (await send(ada, FILM)).json()["video_id"]
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with database.transaction(ada.tenant_id) as session:
        await session.execute(text("UPDATE videos SET received_at = :day"), {"day": yesterday})
        assert await VideoMeterRepository(session, ada.tenant_id).count(video_id, 3, None)
    days = await usage(ada, since=str(yesterday.date()), before=str(datetime.now(UTC).date()))
    assert days["video_seconds"] == 3
