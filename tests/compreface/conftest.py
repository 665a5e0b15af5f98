"""A tenant of a running app, and its keys as CompreFace services."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Account, Running, admin, anonymous, quick_passwords, running, sign_up

__all__ = ["admin", "anonymous", "quick_passwords", "running", "sign_up"]

API = "http://vultus/compreface/api/v1"
ALL_SCOPES = ["register", "recognize", "embeddings:read", "delete"]


@pytest.fixture
async def issue(admin: Account) -> Callable[..., Awaitable[str]]:
    """Issues a key of the tenant; by default with all scopes, limited to the collection `people`."""

    async def work(scopes: list[str] | None = None, collections: list[str] | None = ["people"]) -> str:  # noqa: B006
        body: dict[str, Any] = {"name": uuid4().hex, "scopes": scopes or ALL_SCOPES}
        if collections is not None:
            body["collections"] = collections
        answer = await admin.client.post("/keys", json=body)
        assert answer.status_code == 201, answer.text
        key: str = answer.json()["key"]
        return key

    return work


Issue = Callable[..., Awaitable[str]]
With = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def with_key(running: Running, issue: Issue) -> AsyncIterator[With]:
    """Makes a client with a key; see `issue`."""
    async with AsyncExitStack() as stack:

        async def make(*arguments: Any, **options: Any) -> httpx.AsyncClient:
            client = await stack.enter_async_context(running.client())
            client.base_url = httpx.URL(API)
            client.headers["x-api-key"] = await issue(*arguments, **options)
            return client

        yield make


@pytest.fixture
async def service(admin: Account, with_key: With) -> httpx.AsyncClient:
    """A client of the tenant's service with the collection `people`."""
    created = await admin.client.post("/collections", json={"name": "people"})
    assert created.status_code == 201, created.text
    return await with_key()


def photo_of(data: bytes, field: str = "file") -> dict[str, Any]:
    """The form with a photo."""
    return {"files": {field: ("photo.jpg", data, "image/jpeg")}}


def error(answer: httpx.Response) -> tuple[int, int, str]:
    """Status, code and reason of an error, which must have its whole shape."""
    body = answer.json()
    assert set(body) == {"message", "code", "reason", "request_id"}, answer.text
    assert body["message"]
    return answer.status_code, body["code"], body["reason"]
