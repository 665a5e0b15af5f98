"""Slow uploads of one tenant, over any number of credentials, leave room for the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import Overloaded
from app.main import render_error
from app.server.photo_gate import PhotoGate, assign_place
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, start


class Slow:
    """An app that learns a request's tenant from a header, then waits for the body's end."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.receiving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            assign_place(scope, Request(scope).headers["x-tenant"])
        except Overloaded as exc:
            await render_error(scope["path"], exc)(scope, receive, send)
            return
        self.receiving += 1
        await self.release.wait()
        await Response("done")(scope, receive, send)


async def test_many_credentials_of_one_tenant_are_one_caller() -> None:
    slow = Slow()
    gate = PhotoGate(slow, render_error=render_error, has_photos=lambda *_: True, max_in_flight=8)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://vultus") as client:

        def send(tenant: str, credential: int) -> "asyncio.Task[httpx.Response]":
            headers = {"x-tenant": tenant, "authorization": f"Bearer {tenant}{credential}"}
            return asyncio.create_task(client.post("/photos", headers=headers))

        many = [send("greedy", number) for number in range(30)]
        while sum(task.done() for task in many) < 22:
            await asyncio.sleep(0)
        assert slow.receiving == 8
        others = [send("modest", number) for number in range(4)]
        while slow.receiving < 12:
            await asyncio.sleep(0)
        beyond = await send("modest", 4)
        assert (beyond.status_code, beyond.json()["code"]) == (503, "overloaded")
        assert (await send("greedy", 99)).status_code == 503
        slow.release.set()
        assert [answer.status_code for answer in await asyncio.gather(*others)] == [200] * 4
        assert sorted(answer.status_code for answer in await asyncio.gather(*many)) == [200] * 8 + [503] * 22
        assert (await send("greedy", 99)).status_code == 200


@pytest.fixture
async def small(settings: Settings) -> AsyncIterator[Running]:
    """A server with room for 9 photo requests."""
    async with AsyncExitStack() as stack:
        yield await start(settings.model_copy(update={"inference_threads": 1, "inference_queue": 0}), stack)


async def test_keys_of_one_tenant_do_not_shut_the_photo_routes(
    small: Running, admin: Account, stranger: Account
) -> None:
    created = [await admin.client.post("/keys", json={"name": f"k{n}", "scopes": ["recognize"]}) for n in range(18)]
    keys = [answer.json()["key"] for answer in created]
    end = asyncio.Event()

    async def trickle() -> AsyncIterator[bytes]:
        yield b"--x\r\n"
        await end.wait()

    async def upload(key: str) -> httpx.Response:
        async with small.client(key) as client:
            headers = {"content-type": "multipart/form-data; boundary=x"}
            return await client.post("/detect", content=trickle(), headers=headers, timeout=60)

    uploads = [asyncio.create_task(upload(key)) for key in keys]
    async with asyncio.timeout(60):
        while sum(task.done() for task in uploads) < len(keys) - 9:
            await asyncio.sleep(0.05)
    async with small.client(stranger.tokens["access_token"]) as client:
        files = {"image": ("a.jpg", pictures.photo(1), "image/jpeg")}
        assert (await client.post("/detect", files=files)).status_code == 200
    end.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*uploads)]
    assert len(keys) - 9 <= statuses.count(503) < len(keys)  # one more where the stranger came before the last refusal
