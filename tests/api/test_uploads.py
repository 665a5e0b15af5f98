"""Bodies that are too large, of the wrong kind, or malformed."""

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.main import render_error
from app.server.photo_gate import PhotoGate
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.inference import under_way


async def test_a_huge_upload_is_refused_from_its_headers(admin: Account) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += 1024 * 1024
            yield bytes(1024 * 1024)

    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(200 * 1024 * 1024)}
    answer = await admin.client.post("/recognize", content=body(), headers=headers)
    assert problem(answer) == "413 request_too_large"
    assert "209715200" in answer.json()["detail"]


async def test_a_huge_upload_without_a_length_is_cut_off(admin: Account) -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        for _ in range(50):
            taken += 1024 * 1024
            yield bytes(1024 * 1024)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await admin.client.post("/recognize", content=body(), headers=headers)
    assert problem(answer) == "413 request_too_large"
    # httpx's transport collects the body before the app asks for it, so only the answer can be checked here.


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_json_body_is_refused(anonymous: httpx.AsyncClient, chunked: bool) -> None:
    big = b'{"tenant": "' + b"x" * 100_000 + b'"}'

    async def body() -> AsyncIterator[bytes]:
        yield big

    content: bytes | AsyncIterator[bytes] = body() if chunked else big
    answer = await anonymous.post("/auth/signup", content=content, headers={"content-type": "application/json"})
    assert problem(answer) == "413 request_too_large"


async def test_nobody_reads_the_body_of_an_anonymous_caller(anonymous: httpx.AsyncClient) -> None:
    files = {"image": ("a.jpg", pictures.photo(1), "image/jpeg")}
    assert problem(await anonymous.post("/recognize", files=files)) == "401 not_authenticated"
    answer = await anonymous.post("/recognize", content=b"{", headers={"content-type": "application/json"})
    assert problem(answer) == "401 not_authenticated"


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (b"{}", "application/json", "422 invalid_parameter"),
        (b"image=x", "application/x-www-form-urlencoded", "415 unsupported_media_type"),
        (b"", "", "415 unsupported_media_type"),
        (b"", "multipart/form-data", "422 invalid_request"),
        (b"garbage", "multipart/form-data; boundary=x", "422 invalid_request"),
        (b"--x\r\n\r\nno header\r\n--x--", "multipart/form-data; boundary=x", "422 invalid_request"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", "422 invalid_parameter"),
        (
            b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "422 invalid_parameter",
        ),
    ],
)
async def test_a_body_of_the_wrong_kind(admin: Account, content: bytes, content_type: str, expected: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert problem(await admin.client.post("/recognize", content=content, headers=headers)) == expected


async def test_too_many_images_and_images_nobody_asked_for(admin: Account) -> None:
    tiny = pictures.encode(pictures.portrait(1, side=96))
    answer = await admin.register("ada", *[tiny] * 21)
    assert problem(answer) == "422 too_many_images"
    assert "20" in answer.json()["detail"]
    twice = [("image", ("a.jpg", tiny)), ("image", ("b.jpg", tiny))]
    assert problem(await admin.client.post("/detect", files=twice)) == "422 too_many_images"
    answer = await admin.client.post("/detect", files={"picture": ("a.jpg", tiny)})
    assert problem(answer) == "422 invalid_parameter"
    assert problem(await admin.client.post("/register", data={"subject": "ada"}, files={"x": b""})) in (
        "422 invalid_parameter",
        "422 image_empty",
    )


async def test_a_client_that_went_away_frees_its_place_in_the_queue(admin: Account, running: Running) -> None:
    executor, gate = running.state.faces._executor, threading.Event()
    tenants = [*["somebody"] * executor.threads, "another"]  # the last one on the spare thread
    busy = [asyncio.create_task(executor.run(tenant, gate.wait)) for tenant in tenants]
    await asyncio.sleep(0)
    request = admin.client.build_request("POST", "/detect", files={"image": ("1.jpg", pictures.photo(1), "image/jpeg")})
    body = await request.aread()
    gone, sent = asyncio.Event(), list[Message]()

    async def receive() -> Message:
        nonlocal body
        if body:
            body, chunk = b"", body
            return {"type": "http.request", "body": chunk, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/detect",
        "raw_path": b"/api/v1/detect",
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "server": ("vultus", 80),
        "state": dict(running.lifespan),
    }
    answering = asyncio.create_task(running.app(scope, receive, send))
    while under_way(executor) <= executor.threads:
        await asyncio.sleep(0.01)
    gone.set()
    await answering
    assert under_way(executor) == executor.threads
    assert sent[0]["status"] == 503
    gate.set()
    await asyncio.gather(*busy)


async def test_more_requests_than_can_be_served_are_refused_before_they_cost_anything() -> None:
    release, entered = asyncio.Event(), 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal entered
        entered += 1
        await release.wait()
        await Response("done")(scope, receive, send)

    gate = PhotoGate(slow, render_error=render_error, has_photos=lambda path, _: path == "/photos", max_in_flight=2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://vultus") as client:
        first = [asyncio.create_task(client.post("/photos", content=b"x")) for _ in range(2)]
        while entered < 2:
            await asyncio.sleep(0)
        refused = await client.post("/photos", content=b"x")
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 15
        other = asyncio.create_task(client.get("/other"))
        # Another caller has no request in flight yet.
        light = asyncio.create_task(client.post("/photos", content=b"x", headers={"authorization": "Bearer light"}))
        while entered < 4:
            await asyncio.sleep(0)
        refused = await client.post("/photos", content=b"x", headers={"authorization": "Bearer light"})
        assert refused.status_code == 503
        release.set()
        assert [answer.status_code for answer in await asyncio.gather(*first, other, light)] == [200] * 4
        assert (await client.post("/photos", content=b"x")).status_code == 200
