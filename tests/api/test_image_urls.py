"""Photos by URL on every photo route, in forms and JSON bodies; the fetching itself is tested in tests/unit."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.routes.photo_paths import IMAGE_PATHS
from app.settings import Settings
from tests.api.conftest import PASSWORD, Account, problem, sign_in, start
from tests.photo_hosts import PHOTO, PhotoHost, serving_photos

SUBJECT = {"subject": "ada"}
ROUTES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "register": (("images",), SUBJECT),
    "register/all": (("image",), {}),
    "recognize": (("image",), {}),
    "recognize/batch": (("images",), {}),
    "verify": (("image",), SUBJECT),
    "compare": (("source", "target"), {}),
    "compare/batch": (("source", "targets"), {}),
    "detect": (("image",), {}),
    "extract": (("image",), {}),
    "extract/batch": (("images",), {}),
}
"""The fields for photos, and the other fields."""


def url_field(field: str) -> str:
    return {"images": "image_urls", "targets": "target_urls"}.get(field, f"{field}_url")


@pytest.fixture(scope="module")
def host() -> Iterator[PhotoHost]:
    with serving_photos() as server:
        yield server


@pytest.fixture(scope="module")
def origin(host: PhotoHost) -> str:
    return f"http://127.0.0.1:{host.server_port}"


@pytest.fixture(scope="module")
async def client(settings: Settings, origin: str) -> AsyncIterator[httpx.AsyncClient]:
    """An admin of a server that fetches from the host, with drawn person 1 registered as `ada`."""
    async with AsyncExitStack() as stack:
        allowed = {"image_url_hosts": [origin], "image_url_timeout_s": 3.0}
        running = await start(settings.model_copy(update=allowed), stack)
        client = await stack.enter_async_context(running.client())
        email = f"{uuid4().hex}@example.com"
        await client.post("/auth/signup", json={"tenant": "Fetching", "email": email, "password": PASSWORD})
        client.headers["authorization"] = f"Bearer {(await sign_in(client, email))['access_token']}"
        stored = await client.post("/register", data=SUBJECT, files={"images": ("a.jpg", PHOTO)})
        assert stored.status_code == 201
        yield client


def body(name: str, url: str, field: str | None = None) -> dict[str, Any]:
    """A JSON body with the URL in a field, and a good photo's in the others."""
    fields, others = ROUTES[name]
    good = url.rpartition("/")[0] + "/photo.jpg"
    sent: dict[str, Any] = dict(others)
    for one in fields:
        chosen = url if field in (None, one) else good
        sent[url_field(one)] = [chosen] if one.endswith("s") else chosen
    return sent


async def answers(client: httpx.AsyncClient, name: str, sent: dict[str, Any]) -> list[httpx.Response]:
    """The answers to the JSON body and to the same form."""
    as_json = await client.post(f"/{name}", json=sent)
    parts: list[tuple[str, tuple[None, str]]] = []
    for field, value in sent.items():
        parts += [(field, (None, one)) for one in (value if isinstance(value, list) else [value])]
    return [as_json, await client.post(f"/{name}", files=parts)]


def test_every_photo_route_is_here() -> None:
    assert {f"/api/v1/{name}" for name in ROUTES} == IMAGE_PATHS


@pytest.mark.parametrize("name", ROUTES)
async def test_a_photo_by_its_url_is_answered_like_the_photo(client: httpx.AsyncClient, origin: str, name: str) -> None:
    fields, others = ROUTES[name]
    sent = await client.post(f"/{name}", data=others, files=[(field, ("a.jpg", PHOTO)) for field in fields])
    for answer in await answers(client, name, body(name, f"{origin}/photo.jpg")):
        assert (answer.status_code, answer.json()) == (sent.status_code, sent.json())


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing", "422 image_url_unreachable"),
        ("large", "413 image_too_large"),
        ("page", "422 image_unreadable"),
        ("empty", "422 image_empty"),
    ],
)
async def test_a_photo_that_cannot_be_had_is_named(
    client: httpx.AsyncClient, origin: str, name: str, path: str, code: str
) -> None:
    fields, _ = ROUTES[name]
    for field in fields:
        for answer in await answers(client, name, body(name, f"{origin}/{path}?signature=s3cret", field)):
            assert "s3cret" not in answer.text
            assert "a page with" not in answer.text
            if name.endswith("/batch") and field.endswith("s"):
                assert answer.status_code == 200
                told = answer.json()["items"][0]["problem"]
                assert f"{told['status']} {told['code']}" == code
                assert (told["field"], told["index"]) == (url_field(field), 0)
            else:
                assert problem(answer) == code
                named = answer.json()["errors"][0]["field"]
                assert named == url_field(field) or (named == field and name.startswith("compare"))


async def test_the_other_photos_of_a_batch_are_answered(client: httpx.AsyncClient, origin: str) -> None:
    urls = [f"{origin}/{path}" for path in ("photo.jpg", "slow", "redirect", "group.jpg", "landscape.jpg")]
    urls += ["https://elsewhere.example/a.jpg", "not a URL"]
    answer = await client.post("/recognize/batch", json={"image_urls": urls})
    items = answer.json()["items"]
    assert [item["problem"] and item["problem"]["code"] for item in items] == [
        None, "image_url_timeout", "image_url_unreachable", None, None, "image_url_not_allowed",
        "image_url_not_allowed",
    ]  # fmt: skip
    assert [len(items[index]["answer"]["faces"]) for index in (0, 3, 4)] == [1, 2, 0]
    registered = await client.post("/register", json={"subject": "bob", "image_urls": urls[:4]})
    assert registered.status_code == 201
    assert [item["index"] for item in registered.json()["templates"]] == [0]
    assert {item["index"]: item["code"] for item in registered.json()["refused"]} == {
        1: "image_url_timeout",
        2: "image_url_unreachable",
        3: "several_faces",
    }
    none = await client.post("/register", json={"subject": "eve", "image_urls": urls[2:4]})
    assert problem(none) == "422 no_image_accepted"
    assert {error["field"] for error in none.json()["errors"]} == {"image_urls"}


async def test_a_repeated_request_is_not_fetched_again(client: httpx.AsyncClient, host: PhotoHost, origin: str) -> None:
    for name in ("register", "register/all"):
        headers = {"idempotency-key": f"by-url-{name}"}
        sent = body(name, f"{origin}/photo.jpg?signature={uuid4().hex}")
        first = await client.post(f"/{name}", json=sent, headers=headers)
        fetched = len(host.requested)
        again = await client.post(f"/{name}", json=sent, headers=headers)
        assert (again.headers["idempotent-replayed"], again.json()) == ("true", first.json())
        assert len(host.requested) == fetched
        other = body(name, f"{origin}/photo.jpg?another")
        assert problem(await client.post(f"/{name}", json=other, headers=headers)) == "422 idempotency_key_reused"


async def test_wrong_numbers_and_types_are_refused_by_field(client: httpx.AsyncClient, origin: str) -> None:
    url, photo = f"{origin}/photo.jpg", ("a.jpg", PHOTO)
    both = await client.post("/detect", data={"image_url": url}, files={"image": photo})
    assert (problem(both), both.json()["errors"][0]["field"]) == ("422 invalid_parameter", "image_url")
    twice = await client.post("/detect", files=[("image_url", (None, url))] * 2)
    assert (problem(twice), twice.json()["errors"][0]["field"]) == ("422 too_many_images", "image_url")
    for name, field, value in (
        ("detect", "image_url", [url]),
        ("detect", "image_url", 7),
        ("recognize/batch", "image_urls", url),
        ("recognize/batch", "image_urls", [url, 7]),
    ):
        answer = await client.post(f"/{name}", json={field: value})
        assert (problem(answer), answer.json()["errors"][0]["field"]) == ("422 invalid_parameter", field)
    many = await client.post("/recognize/batch", json={"image_urls": [url] * 21})
    assert (problem(many), many.json()["errors"][0]["field"]) == ("422 too_many_images", "image_urls")
    full = [("image_urls", (None, url))] * 20
    assert len((await client.post("/extract/batch", files=full)).json()["items"]) == 20
    single = await client.post("/recognize", json={"image_urls": [url]})
    assert (problem(single), single.json()["errors"][0]["field"]) == ("422 batch_route_needed", "image_urls")
    as_file = await client.post("/detect", files={"image_url": photo})
    assert problem(as_file) == "422 invalid_parameter"


async def test_by_default_nothing_is_fetched(admin: Account, host: PhotoHost, origin: str) -> None:
    before = len(host.requested)
    answer = await admin.client.post("/detect", json={"image_url": f"{origin}/photo.jpg"})
    assert problem(answer) == "422 image_url_not_allowed"
    assert answer.json()["errors"][0]["field"] == "image_url"
    assert "VULTUS_IMAGE_URL_HOSTS" in answer.json()["detail"]
    assert len(host.requested) == before


async def test_who_may_not_use_the_route_makes_nobody_fetch(
    client: httpx.AsyncClient, host: PhotoHost, origin: str
) -> None:
    before = len(host.requested)
    answer = await client.post("/detect", json={"image_url": f"{origin}/photo.jpg"}, headers={"authorization": "x"})
    assert problem(answer) == "401 not_authenticated"
    assert len(host.requested) == before


async def test_photos_by_url_count_as_photos(client: httpx.AsyncClient, origin: str) -> None:
    async def counted() -> int:
        items = (await client.get("/usage")).json()["items"]
        return sum(item["images"] for item in items if item["operation"] == "recognize_batch")

    before = await counted()
    await client.post("/recognize/batch", json={"image_urls": [f"{origin}/photo.jpg"] * 3})
    assert await counted() == before + 3
