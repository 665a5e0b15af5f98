"""What a hostile client tried once, and must not get again."""

import asyncio
import json
import struct
import zlib

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.errors import DatabaseUnavailable, ImageTooComplex
from app.main import render_error
from app.ml.jpeg_structure import MAX_SCANS, read_jpeg_structure
from app.persistence.connections.database import Database
from app.server.body_limits import BodyLimit
from tests import pictures
from tests.api.conftest import Account, problem


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: each repetition costs a pass over all pixels."""
    good = pictures.encode(pictures.portrait(1, side=64).convert("L"), progressive=True)
    last = good.rindex(b"\xff\xda")
    return good[:-2] + good[last:-2] * count + good[-2:]


def many_segments(count: int) -> bytes:
    good = pictures.encode(pictures.portrait(1, side=64))
    return good[:2] + b"\xff\xe1\x00\x0c0123456789" * count + good[2:]


async def test_jpegs_that_take_long_to_decode_are_refused(admin: Account) -> None:
    for data in (many_scans(MAX_SCANS + 1), many_segments(2000)):
        assert problem(await admin.send("/detect", data)) == "422 image_too_complex"
    assert (
        problem(await admin.send("/detect", many_scans(10))) == "422 image_truncated"
    )  # no progression repeats a scan
    for data in (pictures.encode(pictures.portrait(1, side=64), progressive=True), many_segments(20)):
        assert (await admin.send("/detect", data)).status_code == 200


def test_structure_checks_stop_at_the_end_of_the_first_picture() -> None:
    first = pictures.encode(pictures.portrait(1, side=64))
    read_jpeg_structure(first + many_scans(500))
    with pytest.raises(ImageTooComplex):
        read_jpeg_structure(many_scans(500))


async def test_a_palette_with_too_much_transparency_is_damage_not_a_crash(admin: Account) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0))
    data = (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"PLTE", bytes(48))
        + chunk(b"tRNS", bytes(300))
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )
    assert problem(await admin.send("/detect", data)) == "422 image_truncated"


@pytest.mark.parametrize("path", ["/auth/token", "/auth/refresh", "/auth/signup", "/collections"])
async def test_only_routes_with_images_take_large_bodies(anonymous: httpx.AsyncClient, path: str) -> None:
    files = {"image": ("a.jpg", bytes(100_000), "image/jpeg")}
    assert problem(await anonymous.post(path, files=files)) == "413 request_too_large"


@pytest.mark.parametrize("charset", ["unicode_escape", "raw_unicode_escape", "utf-16", "nonsense"])
async def test_an_odd_charset_is_no_crash(admin: Account, charset: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="\\ud800"; filename="a.jpg"\r\n\r\nx\r\n--x--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = await admin.client.post("/detect", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    problem(answer)


async def test_metadata_has_one_limit_on_every_route(admin: Account) -> None:
    body = {"subject": "ada", "metadata": {"a": "x" * 17_000}}
    assert problem(await admin.client.post("/collections/default/subjects", json=body)) == "422 invalid_parameter"
    metadata = json.dumps({"a": "é" * 8_000}, ensure_ascii=False)
    assert len(metadata.encode()) < 16 * 1024
    answer = await admin.register("ada", pictures.photo(1), metadata=metadata)
    assert answer.status_code == 201


async def test_a_misspelt_secret_is_not_echoed(anonymous: httpx.AsyncClient) -> None:
    body = {"tenant": "Acme", "email": "a@example.com", "password": "correct horse", "Passwort": "hunter2"}
    answer = await anonymous.post("/auth/signup", json=body)
    assert problem(answer) == "422 invalid_parameter"
    assert "hunter2" not in answer.text


async def test_a_body_that_is_not_utf_8_is_malformed_like_any_other(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post(
        "/auth/signup", content=b'{"a": "\xff"}', headers={"content-type": "application/json"}
    )
    assert problem(answer) == "422 invalid_request"


async def test_a_body_that_stalls_is_given_up() -> None:
    sent: list[dict[str, object]] = []

    async def app(scope: object, receive: object, send: object) -> None:
        await receive()  # type: ignore[operator]
        await receive()  # type: ignore[operator]

    async def receive() -> dict[str, object]:
        if not sent:
            sent.append({})
            return {"type": "http.request", "body": b"x", "more_body": True}
        await asyncio.Event().wait()
        return {}

    from app.errors import RequestTimeout

    limited = BodyLimit(
        app, render_error=render_error, max_bytes=lambda *_: 65536, has_route=lambda _: True, timeout_s=0.05
    )
    with pytest.raises(RequestTimeout):
        await limited({"type": "http", "path": "/", "headers": []}, receive, None)  # type: ignore[arg-type]


async def test_a_statement_that_is_cancelled_is_unavailable_and_tells_no_parameters(database: Database) -> None:
    async def slow() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT set_config('statement_timeout', '50', true)"))
            await session.execute(text("SELECT pg_sleep(5), CAST(:canary AS text)"), {"canary": "canary-4714"})

    with pytest.raises(DatabaseUnavailable):
        await slow()

    async def wrong() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT CAST(:canary AS text)::int"), {"canary": "canary-4715"})

    with pytest.raises(DBAPIError) as raised:
        await wrong()
    assert "canary-4715" not in str(raised.value).replace(str(raised.value.orig), "")


async def test_security_headers_are_on_everything(anonymous: httpx.AsyncClient, admin: Account) -> None:
    for answer in (await anonymous.get("/auth/me"), await admin.client.get("/collections"), await anonymous.get("/no")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers  # only where the service is behind HTTPS
    assert (
        "access-control-allow-origin"
        not in (await anonymous.get("/auth/me", headers={"origin": "https://evil.example"})).headers
    )
