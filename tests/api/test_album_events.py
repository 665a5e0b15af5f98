"""The progress of an album as server-sent events, from a real server with a worker inside."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from app.domain.albums import Keep, PhotoCounts
from app.persistence.connections.database import Database
from app.persistence.repositories.albums import AlbumRepository, count_photos_of
from app.persistence.repositories.collections import CollectionRepository
from app.services.progress import ProgressWatch
from tests import pictures
from tests.api.conftest import Account, problem
from tests.cli.test_serve import service_env
from tests.servers import serving

__all__ = ["service_env"]

Event = dict[str, Any]


async def events(answer: httpx.Response) -> AsyncIterator[Event]:
    event: Event = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name:
            event[name] = json.loads(value) if name == "data" else value
        elif event:
            yield event
            event = {}


async def test_progress_is_streamed_until_the_album_is_erased(service_env: dict[str, str]) -> None:
    with serving(1, **service_env | {"VULTUS_ALBUM_WORKER": "true"}) as (base, _):
        async with httpx.AsyncClient(base_url=f"{base}/api/v1", timeout=60) as client:
            login = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery"}
            await client.post("/auth/signup", json={"tenant": "Acme", **login})
            form = {"username": login["email"], "password": login["password"]}
            token = (await client.post("/auth/token", data=form)).json()["access_token"]
            client.headers["authorization"] = f"Bearer {token}"
            assert problem(await client.get("/albums/party/events")) == "404 album_not_found"
            await client.post("/albums", json={"id": "party"})
            seen: list[Event] = []
            async with client.stream("GET", "/albums/party/events") as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                async for event in events(answer):
                    seen.append(event)
                    if len(seen) == 1:
                        for index in range(1, 7):
                            files = {"image": ("a.jpg", pictures.photo(index))}
                            sent = await client.put(f"/albums/party/photos/{index}", files=files)
                            assert sent.status_code == 202
                    if event["event"] == "done" and event["data"]["photos"]["done"] == 6:
                        async with client.stream(
                            "GET", "/albums/party/events", headers={"last-event-id": event["id"]}
                        ) as again:
                            await client.delete("/albums/party")
                            assert [one["event"] async for one in events(again)] == ["erased"]
            assert seen[0]["data"]["photos"]["total"] == 0
            assert seen[-1]["event"] == "erased"
            assert len({event.get("id") for event in seen}) == len(seen)


async def test_one_query_counts_for_everybody(admin: Account, database: Database) -> None:
    async with database.transaction(admin.tenant_id) as session:
        created = await CollectionRepository(session, admin.tenant_id).add("party")
        assert created is not None
        await AlbumRepository(session, admin.tenant_id).add(
            created.id,
            title=None,
            keep=Keep.NOTHING,
            expected=None,
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
    counting = CountingDatabase(database)
    watch = ProgressWatch(counting, count_photos_of, pause_s=0.01)  # type: ignore[arg-type]

    async def first() -> PhotoCounts:
        async for progress in watch.follow((admin.tenant_id, created.id)):
            return progress.counts
        raise AssertionError

    assert await asyncio.gather(*(first() for _ in range(50))) == [PhotoCounts()] * 50
    assert counting.transactions <= 2
    gone = [progress async for progress in watch.follow((admin.tenant_id, uuid4()))]
    assert gone == []
    await watch.close()


class CountingDatabase:
    """Counts the transactions that are opened on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transactions = 0

    def transaction(self, *args: Any, **kwargs: Any) -> Any:
        self.transactions += 1
        return self._database.transaction(*args, **kwargs)
