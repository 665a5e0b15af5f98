"""More faces in a photo than are listed: every answer says how many were left out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx
import pytest

from app.settings import Settings
from tests import pictures
from tests.api.conftest import PASSWORD, sign_in, start


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of a service that lists two faces of a photo."""
    async with AsyncExitStack() as stack:
        running = await start(settings.model_copy(update={"max_faces_per_image": 2}), stack)
        client = await stack.enter_async_context(running.client())
        email = f"{uuid4().hex}@example.com"
        await client.post("/auth/signup", json={"tenant": "Groups", "email": email, "password": PASSWORD})
        client.headers["authorization"] = f"Bearer {(await sign_in(client, email))['access_token']}"
        yield client


async def test_every_answer_that_lists_faces_says_how_many_it_leaves_out(client: httpx.AsyncClient) -> None:
    group = ("photo.jpg", pictures.group(1, 2, 3))
    for path, listed in (("/detect", "faces"), ("/extract", "faces"), ("/recognize", "faces")):
        body = (await client.post(path, files={"image": group})).json()
        assert (len(body[listed]), body["faces_left_out"]) == (2, 1), path
    for path in ("/extract/batch", "/recognize/batch"):
        files = [("images", group), ("images", ("photo.jpg", pictures.photo(1)))]
        answers = [item["answer"] for item in (await client.post(path, files=files)).json()["items"]]
        assert [(len(answer["faces"]), answer["faces_left_out"]) for answer in answers] == [(2, 1), (1, 0)], path
    compared = (await client.post("/compare", files={"source": ("1.jpg", pictures.photo(1)), "target": group})).json()
    assert (len(compared["targets"]), compared["faces_left_out"]) == (2, 1)
    stored = (await client.post("/register/all", files={"image": group})).json()
    assert (len(stored["stored"]), stored["faces_left_out"]) == (2, 1)
