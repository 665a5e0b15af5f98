"""Callers with many requests wait for their turn; those with few do not wait for them."""

import asyncio
from typing import Any
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from app.permissions import Plan, Principal
from app.server.caller_turns import CallerTurns, end_turn
from app.server.request_context import PRINCIPAL


class _App:
    """Keeps every request until it is told to answer."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_answer: dict[str, asyncio.Event] = {}
        self.principals: dict[str, Principal] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        if scope["path"] in self.principals:
            scope[PRINCIPAL] = self.principals[scope["path"]]
        if scope["path"].endswith("/photo"):
            end_turn(scope)
        await self.may_answer.setdefault(scope["path"], asyncio.Event()).wait()

    def answer(self, path: str) -> None:
        self.may_answer.setdefault(path, asyncio.Event()).set()


class _Client:
    def __init__(self) -> None:
        self.app = _App()
        self.turns = CallerTurns(self.app)

    def send(self, path: str, address: str, key: str = "") -> "asyncio.Task[None]":
        headers = [(b"x-api-key", key.encode())] if key else []
        scope: dict[str, Any] = {"type": "http", "path": path, "headers": headers, "client": (address, 1)}
        return asyncio.ensure_future(self.turns(scope, _receive, _send))


async def _receive() -> Any:
    raise AssertionError


async def _send(_: Any) -> None:
    raise AssertionError


async def _let_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_caller_alone_does_not_wait() -> None:
    client = _Client()
    tasks = [client.send(f"/{number}", "192.0.2.1") for number in range(5)]
    await _let_run()
    assert len(client.app.begun) == 5
    for number in range(5):
        client.app.answer(f"/{number}")
    await asyncio.gather(*tasks)


async def test_a_caller_with_many_requests_waits_while_another_is_served() -> None:
    client = _Client()
    light = client.send("/light", "192.0.2.9")
    heavy = [client.send(f"/{number}", "192.0.2.1") for number in range(4)]
    await _let_run()
    assert client.app.begun == ["/light", "/0", "/1"]
    second = client.send("/second", "192.0.2.9")  # it has no waiting requests, so it starts at once
    await _let_run()
    assert client.app.begun[-1] == "/second"
    for name in ("light", "second", *range(4)):
        client.app.answer(f"/{name}")
    await asyncio.gather(light, second, *heavy)
    assert len(client.app.begun) == 6
    assert not client.turns._active
    assert not client.turns._present


async def test_requests_that_wait_for_inference_leave_their_turn() -> None:
    client = _Client()
    other = client.send("/other", "192.0.2.9")
    client.app.answer("/other")
    await other
    photos = [client.send(f"/{number}/photo", "192.0.2.1") for number in range(4)]
    await _let_run()
    assert len(client.app.begun) == 5
    for number in range(4):
        client.app.answer(f"/{number}/photo")
    await asyncio.gather(*photos)


async def test_a_waiting_request_that_is_cancelled_leaves_no_trace() -> None:
    client = _Client()
    light = client.send("/light", "192.0.2.9")
    heavy = [client.send(f"/{number}", "192.0.2.1") for number in range(3)]
    await _let_run()
    heavy[2].cancel()
    await _let_run()
    assert heavy[2].cancelled()
    for name in ("light", 0, 1):
        client.app.answer(f"/{name}")
    await asyncio.gather(light, *heavy[:2])
    assert not client.turns._active
    assert not client.turns._waiting


async def test_tenants_behind_one_address_are_told_apart_by_accepted_credentials() -> None:
    client = _Client()
    for key in ("one", "two"):
        client.app.principals[f"/{key}"] = Principal(uuid4(), frozenset(), Plan("test", {}))
        client.app.answer(f"/{key}")
        await client.send(f"/{key}", "192.0.2.1", key)
    heavy = [client.send(f"/{number}", "192.0.2.1", "one") for number in range(4)]
    light = client.send("/light", "192.0.2.1", "two")
    await _let_run()
    assert client.app.begun[2:] == ["/0", "/1", "/light"]
    for name in (*range(4), "light"):
        client.app.answer(f"/{name}")
    await asyncio.gather(light, *heavy)
