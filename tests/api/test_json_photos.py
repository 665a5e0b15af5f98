"""Photos in JSON bodies: the same fields, answers, errors and limits as in forms."""

import base64
import json
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem

PHOTO = pictures.photo(1)
TEXT = base64.b64encode(PHOTO).decode()


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def post(account: Account, path: str, **body: Any) -> httpx.Response:
    return await account.client.post(path, json=body)


async def test_every_route_answers_as_for_the_form(ada: Account) -> None:
    form: dict[str, dict[str, Any]] = {
        "/detect": {"detail": "thorough"},
        "/verify": {"subject": "ada", "face": "largest"},
        "/recognize": {"limit": 1, "threshold": 0.5, "collection": "default"},
        "/extract": {},
        "/register/all": {"external_image_id": "a", "limit": 3},
    }
    for path, fields in form.items():
        from_form = await ada.send(path, PHOTO, **{name: str(value) for name, value in fields.items()})
        from_json = await post(ada, path, image=TEXT, **fields)
        assert (from_json.status_code, from_json.json()) == (from_form.status_code, from_form.json()), path
    for path in ("/recognize/batch", "/extract/batch"):
        files = [("images", ("a.jpg", data)) for data in (PHOTO, b"no picture")]
        from_form = await ada.client.post(path, files=files)
        from_json = await post(ada, path, images=[TEXT, as_text(b"no picture")])
        assert from_json.json() == from_form.json()
        assert from_json.json()["items"][1]["problem"]["code"] == "image_unreadable"
    from_form = await ada.client.post("/compare", files={"source": PHOTO, "target": pictures.group(1, 2)})
    from_json = await post(ada, "/compare", source=TEXT, target=as_text(pictures.group(1, 2)), threshold=None)
    assert from_json.json() == from_form.json()


async def test_register_takes_metadata_as_an_object_or_as_text(admin: Account) -> None:
    for subject, metadata in (("ada", {"team": 7}), ("bob", '{"team": 7}'), ("eve", None)):
        answer = await post(admin, "/register", subject=subject, name="Ada", metadata=metadata, images=[TEXT])
        assert answer.status_code == 201, answer.text
        stored = (await admin.client.get(f"/collections/default/subjects/{subject}")).json()
        assert stored["metadata"] == ({"team": 7} if metadata else {})
    for wrong in ([1], {"a": "x" * 17_000}, {"a": float("nan")}, "[1]", 7):
        body = json.dumps({"subject": "ada", "metadata": wrong, "images": [TEXT]})
        answer = await admin.client.post("/register", content=body, headers={"content-type": "application/json"})
        assert problem(answer) in ("422 invalid_metadata", "422 invalid_parameter")
        assert "metadata" in answer.json()["detail"]


async def test_a_repeated_request_may_be_a_form_or_json(admin: Account) -> None:
    headers = {"idempotency-key": "once"}
    files = {"images": ("a.jpg", PHOTO)}
    first = await admin.client.post("/register", data={"subject": "ada"}, files=files, headers=headers)
    again = await admin.client.post("/register", json={"subject": "ada", "images": [TEXT]}, headers=headers)
    assert (again.headers["idempotent-replayed"], again.json()) == ("true", first.json())


@pytest.mark.parametrize(
    "text",
    [
        TEXT.rstrip("="),
        TEXT.replace("+", "-").replace("/", "_"),
        base64.encodebytes(PHOTO).decode(),
        base64.encodebytes(PHOTO).decode().replace("\n", "\r\n"),
        f"data:image/jpeg;base64,{TEXT}",
        f"DATA:;BASE64,{TEXT}",
        f"data:image/png;name=a;base64,{TEXT}",
    ],
    ids=["unpadded", "url-safe", "lines", "crlf", "data-uri", "upper", "parameter"],
)
async def test_all_kinds_of_base64_are_read(admin: Account, text: str) -> None:
    assert len((await post(admin, "/detect", image=text)).json()["faces"]) == 1


@pytest.mark.parametrize(
    "value",
    [
        "https://example.com/a.jpg", "Zoë", "a", "AAA=AAAA", "AA!A", "data:image/jpeg,AAAA", "data:image/jpeg;base64",
        7, True, {"bytes": TEXT}, [TEXT], [[TEXT]],
    ],
)  # fmt: skip
async def test_what_is_not_base64_is_refused_by_field(admin: Account, value: object) -> None:
    for path, field, body in (
        ("/detect", "image", {"image": value}),
        ("/compare", "target", {"source": TEXT, "target": value}),
        ("/recognize/batch", "images", {"images": [TEXT, value]}),
    ):
        answer = await post(admin, path, **body)
        assert problem(answer) == "422 invalid_parameter"
        (error,) = answer.json()["errors"]
        assert (error["field"], error.get("index")) == (field, 1 if field == "images" else None)
        assert not isinstance(value, str) or len(value) < 5 or value not in answer.text


async def test_images_in_wrong_places(admin: Account) -> None:
    for body, field in (
        ({}, "image"),
        ({"image": None}, "image"),
        ({"photo": TEXT}, "photo"),
        ({"image": TEXT, "image_url": "https://photos.example/a.jpg"}, "image_url"),
    ):
        answer = await post(admin, "/recognize", **body)
        assert problem(answer) == "422 invalid_parameter", body
        assert answer.json()["errors"][0]["field"] == field
    wrong: tuple[Any, ...] = (TEXT, [], None)
    for images in wrong:
        answer = await post(admin, "/recognize/batch", images=images)
        assert (problem(answer), answer.json()["errors"][0]["field"]) == ("422 invalid_parameter", "images")
    assert "`image`" in (await post(admin, "/detect", photo=TEXT)).json()["detail"]
    tiny = as_text(pictures.encode(pictures.portrait(1, side=96)))
    assert problem(await post(admin, "/register", subject="ada", images=[tiny] * 21)) == "422 too_many_images"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "error at character 0"),
        (b"{", "error at character 1"),
        (b"[]", "must be an object"),
        (b'"image"', "must be an object"),
        (b'{"image": "\xff"}', "in UTF-8"),
        (b'{"image": ' + b"1" * 5000 + b"}", "not valid JSON"),
        (b'{"image": ' + b"[" * 15_000, "nested too deeply"),
        (b'{"image": [' + b"0," * 40_000 + b"0]}", "more than 20000 commas"),
    ],
)
async def test_malformed_json_says_what_is_wrong(admin: Account, body: bytes, said: str) -> None:
    answer = await admin.client.post("/detect", content=body, headers={"content-type": "application/json"})
    assert problem(answer) == "422 invalid_request"
    assert said in answer.json()["detail"]


async def test_limits_are_those_of_the_form(admin: Account, settings: Settings) -> None:
    limit = settings.max_image_bytes
    data = PHOTO + bytes(limit - len(PHOTO))
    assert (await post(admin, "/detect", image=as_text(data))).status_code == 200
    assert (await post(admin, "/detect", image=base64.encodebytes(data).decode())).status_code == 200
    answer = await post(admin, "/detect", image=as_text(data + b"\0"))
    assert (problem(answer), answer.json()["errors"][0]["field"]) == ("413 image_too_large", "image")
    assert f"{limit + 1} bytes" in answer.json()["detail"]
    assert problem(await post(admin, "/detect", image=as_text(data * 2))) == "413 request_too_large"
    assert problem(await post(admin, "/recognize/batch", images=[as_text(data)] * 4)) == "413 request_too_large"


async def test_the_documentation_has_the_json_body(running: Running) -> None:
    paths = running.app.openapi()["paths"]
    for name in ("detect", "verify", "recognize", "extract", "register/all", "register", "compare"):
        content = paths[f"/api/v1/{name}"]["post"]["requestBody"]["content"]
        form, body = (content[media]["schema"] for media in ("multipart/form-data", "application/json"))
        assert form["properties"].keys() == body["properties"].keys()
        assert form["required"] == body["required"]
    properties = body["properties"]
    assert properties["source"]["contentEncoding"] == "base64"
    register = paths["/api/v1/register"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert register["properties"]["metadata"]["type"] == ["object", "null"]
    assert register["properties"]["images"]["maxItems"] == 20
