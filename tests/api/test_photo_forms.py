"""Forms as clients really send them: parts without filename or with an odd type, fields misnamed, bodies cut off."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests import pictures
from tests.api.conftest import Account, problem

SINGLE = ("/detect", "/verify", "/register/all", "/recognize", "/extract")
CONTENT_TYPES = (
    None, "", "image/jpeg", "image/png", "text/plain", "text/plain; charset=utf-8", "*/*", "multipart/form-data",
    "application/octet-stream", "application/x-www-form-urlencoded", "application/json", "application/pdf", "jpg",
)  # fmt: skip


def part(name: str, data: bytes, *, more: str = "", content_type: str | None = None) -> bytes:
    typed = "" if content_type is None else f"Content-Type: {content_type}\r\n"
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{typed}\r\n'.encode() + data + b"\r\n"


async def send(account: Account, path: str, *parts: bytes, end: bytes = b"--XX--\r\n") -> httpx.Response:
    headers = {"content-type": "multipart/form-data; boundary=XX"}
    return await account.client.post(path, content=b"".join(parts) + end, headers=headers)


def large_photo() -> bytes:
    """A photo of more than 64 KiB."""
    data = pictures.photo(1)
    return data + bytes(70_000 - len(data))


@pytest.mark.parametrize("more", ["", '; filename=""', '; filename="a.jpg"', "; filename*=UTF-8''a.jpg"])
async def test_the_bytes_decide_what_an_image_is(admin: Account, more: str) -> None:
    for content_type in CONTENT_TYPES:
        answer = await send(admin, "/detect", part("image", large_photo(), more=more, content_type=content_type))
        assert (answer.status_code, len(answer.json()["faces"])) == (200, 1), content_type


async def test_every_route_takes_photos_without_a_filename(ada: Account) -> None:
    subject, photo = part("subject", b"ada"), large_photo()
    for path in SINGLE:
        answer = await send(ada, path, part("image", photo), *([subject] if path == "/verify" else []))
        assert answer.status_code in (200, 201), (path, answer.text)
    assert (await send(ada, "/register", subject, part("images", photo), part("images", photo))).status_code == 201
    assert (await send(ada, "/compare", part("source", photo), part("target", photo))).status_code == 200
    for path in ("/recognize/batch", "/extract/batch"):
        assert len((await send(ada, path, *[part("images", photo)] * 2)).json()["items"]) == 2


@pytest.mark.parametrize("text", [b"string", b"x", "Zoë".encode(), b"data:image/jpeg;base64,/9j/", b"a\r\nb" * 50_000])
async def test_text_in_an_image_field_is_refused_by_name(ada: Account, text: bytes) -> None:
    subject, photo = part("subject", b"ada"), part("images", pictures.photo(1), more='; filename="a.jpg"')
    for path, field, index, parts in (
        ("/detect", "image", 0, [part("image", text)]),
        ("/verify", "image", 0, [subject, part("image", text)]),
        ("/register", "images", 1, [subject, photo, part("images", text)]),
        ("/recognize/batch", "images", 1, [part("images", pictures.photo(1)), part("images", text)]),
        ("/compare", "target", 0, [part("source", pictures.photo(1)), part("target", text)]),
    ):
        answer = await send(ada, path, *parts)
        assert problem(answer) == "422 invalid_parameter"
        (error,) = answer.json()["errors"]
        assert (error["field"], error["index"]) == (field, index)
        assert f"{len(text)} bytes of text" in error["detail"]
        assert text.decode() not in answer.text or len(text) == 1


@pytest.mark.parametrize("omitted", [part("image_url", b""), part("image", b"", more='; filename=""')])
async def test_an_image_field_left_empty_is_omitted(admin: Account, omitted: bytes) -> None:
    answer = await send(admin, "/recognize", part("image", pictures.photo(1)), omitted)
    assert answer.status_code == 200, answer.text
    answer = await send(admin, "/recognize", omitted)
    assert (problem(answer), answer.json()["detail"]) == ("422 invalid_parameter", "image: an image is required.")
    answer = await send(admin, "/detect", part("image", b"", more='; filename="a.jpg"'))
    assert problem(answer) == "422 image_empty"


@pytest.mark.parametrize("name", ["file", "images[]", "Image", "x" * 200])
async def test_a_photo_in_another_field_is_named_with_the_wanted_one(admin: Account, name: str) -> None:
    subject, more = part("subject", b"ada"), "; filename*=UTF-8''a.jpg" if name == "Image" else ""
    sent = part(name, large_photo(), more=more, content_type="image/jpeg")
    wanted = {**dict.fromkeys(SINGLE, "`image`"), "/register": "`images`", "/compare": "`source` and `target`"}
    for path, field in wanted.items():
        answer = await send(admin, path, *([subject] if path in ("/verify", "/register") else []), sent)
        assert problem(answer) == "422 invalid_parameter"
        (error,) = answer.json()["errors"]
        assert error["field"] == name[:64]
        assert field in error["detail"]


async def test_a_photo_that_looks_like_text_is_named_with_the_wanted_field(admin: Account) -> None:
    answer = await send(admin, "/detect", part("file", large_photo()))
    assert problem(answer) == "422 invalid_request"
    assert (answer.json()["errors"][0]["field"], "`image`" in answer.json()["detail"]) == ("file", True)


async def test_a_field_with_two_values_is_refused(admin: Account) -> None:
    photo = part("image", pictures.photo(1))
    for first, second in ((b"fast", b"thorough"), (b"fast", b"fast")):
        answer = await send(admin, "/detect", part("detail", first), photo, part("detail", second))
        assert problem(answer) == "422 invalid_parameter"
        assert answer.json()["errors"][0]["field"] == "detail"
    assert (await send(admin, "/detect", part("detail", b""), photo, part("detail", b"fast"))).status_code == 200


async def test_a_body_without_its_last_boundary(admin: Account) -> None:
    photo = part("image", pictures.photo(1), more='; filename="a.jpg"')
    whole = photo + b"--XX--"
    assert (await send(admin, "/detect", whole, end=b"")).status_code == 200
    cuts = [1, 2, 5, len(photo) // 2, len(photo) - 1, len(photo), *range(len(whole) - 7, len(whole))]
    for length in [0, *cuts]:
        answer = await send(admin, "/detect", whole[:length], end=b"")
        assert problem(answer) == "422 invalid_request", length
        assert "ends before its last boundary, --XX--" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("multipart/form-data", b"--XX--", "names no boundary"),
        ("multipart/form-data; boundary=", b"----", "names no boundary"),
        ("multipart/form-data; boundary=" + "x" * 300, b"", "Boundary length 300"),
        ("multipart/form-data; boundary=XX", b"garbage", "does not begin with the boundary"),
        ("multipart/form-data; boundary=YY", part("image", b"x") + b"--XX--", "does not begin with the boundary"),
        ("multipart/form-data; boundary=XX", b"--XX\r\n\r\nx\r\n--XX--", "Part 1 of the multipart body has no name"),
        ("multipart/form-data; boundary=XX", b"--XX\r\nnot a header\r\n\r\nx\r\n--XX--", "invalid character"),
        ("multipart/form-data; boundary=XX", b"--XX\r\n" + b"a: b\r\n" * 50 + b"\r\n--XX--", "header count"),
        ("multipart/form-data; boundary=XX", part("f", b"") * 21 + b"--XX--", "more than 20 text fields"),
    ],
)
async def test_a_malformed_form_says_what_is_wrong(admin: Account, content_type: str, body: bytes, said: str) -> None:
    answer = await admin.client.post("/detect", content=body, headers={"content-type": content_type})
    assert problem(answer) == "422 invalid_request"
    assert said in answer.json()["detail"]


async def test_a_form_may_arrive_byte_by_byte(admin: Account) -> None:
    photo = pictures.encode(pictures.portrait(1, side=96))
    body = part("detail", b"thorough") + part("image", b"\r\n--X" + photo[:500] + b"\r\n--X\r\n-") + b"--XX--"

    async def answer_to(size: int) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), size):
                yield body[start : start + size]

        headers = {"content-type": "multipart/form-data; boundary=XX"}
        answer = await admin.client.post("/detect", content=chunks(), headers=headers)
        return str(answer.json()["detail"])

    assert len(set(await asyncio.gather(*[answer_to(size) for size in (1, 2, 3, 7, len(body))]))) == 1
