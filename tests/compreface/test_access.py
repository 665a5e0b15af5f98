"""Who may call: keys that are limited to one collection, with the scope of the operation."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.main import create_app
from app.permissions import SCOPE_PERMISSIONS, Permission, Scope
from app.routes.coverage import route_dependencies
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running
from tests.compreface.conftest import API, Issue, With, error, photo_of
from tests.compreface.test_faces import add

PHOTO = photo_of(pictures.photo(1))
PAIR = {"files": {"source_image": ("a.jpg", pictures.photo(1)), "target_image": ("b.jpg", pictures.photo(1))}}
EMBEDDING = {"json": {"embeddings": [[0.5] * 512]}}
FACES = "/recognition/faces"

CALLS: dict[str, tuple[Permission, dict[str, Any]]] = {
    f"POST {FACES}": (Permission.REGISTER, {**PHOTO, "params": {"subject": "new"}}),
    f"GET {FACES}": (Permission.READ, {}),
    f"DELETE {FACES}": (Permission.DELETE, {}),
    f"POST {FACES}/delete": (Permission.DELETE, {"json": ["{image_id}"]}),
    f"DELETE {FACES}/{{image_id}}": (Permission.DELETE, {}),
    f"GET {FACES}/{{image_id}}/img": (Permission.READ, {}),
    f"POST {FACES}/{{image_id}}/verify": (Permission.RECOGNIZE, PHOTO),
    "POST /recognition/subjects": (Permission.REGISTER, {"json": {"subject": "new"}}),
    "GET /recognition/subjects": (Permission.READ, {}),
    "DELETE /recognition/subjects": (Permission.DELETE, {}),
    "PUT /recognition/subjects/{subject}": (Permission.REGISTER, {"json": {"subject": "other"}}),
    "DELETE /recognition/subjects/{subject}": (Permission.DELETE, {}),
    "POST /recognition/recognize": (Permission.RECOGNIZE, PHOTO),
    "POST /recognition/embeddings/recognize": (Permission.READ_EMBEDDINGS, EMBEDDING),
    "POST /recognition/embeddings/faces/{image_id}/verify": (Permission.READ_EMBEDDINGS, EMBEDDING),
    "POST /detection/detect": (Permission.RECOGNIZE, PHOTO),
    "POST /verification/verify": (Permission.RECOGNIZE, PAIR),
}


def test_every_route_has_an_entry_and_is_served_with_and_without_a_slash(running: Running) -> None:
    prefix = "/compreface/api/v1"
    routes = {
        (method, path.removeprefix(prefix))
        for method, _, path in (name.partition(" ") for name in route_dependencies(running.app))
        if path.startswith("/compreface/")
    }
    plain = {f"{method} {path}" for method, path in routes if not path.endswith("/")}
    assert plain == set(CALLS)
    assert {f"{method} {path.removesuffix('/')}" for method, path in routes if path.endswith("/")} == plain
    for name, (permission, _) in CALLS.items():
        method, path = name.split()
        calls = route_dependencies(running.app)[f"{method} {prefix}{path}"]
        assert [call.permission for call in calls if hasattr(call, "permission")] == [permission], name


async def ask(client: httpx.AsyncClient, name: str, image_id: str, *, slash: str = "") -> httpx.Response:
    method, path = name.split()
    options = dict(CALLS[name][1])
    if options.get("json") == ["{image_id}"]:
        options["json"] = [image_id]
    return await client.request(method, path.format(image_id=image_id, subject="ada") + slash, **options)


@pytest.mark.parametrize("name", CALLS)
async def test_operation(
    name: str, service: httpx.AsyncClient, with_key: With, running: Running, sign_up: Any, issue: Issue
) -> None:
    face = await add(service, "ada", pictures.photo(1))
    needed = CALLS[name][0]

    async with running.client() as nobody:
        nobody.base_url = httpx.URL(API)
        assert error(await ask(nobody, name, face)) == (401, 20, "not_authenticated")
        nobody.headers["x-api-key"] = "vk_unknown"
        assert error(await ask(nobody, name, face)) == (401, 10, "token_invalid")
        nobody.headers["x-api-key"] = str(uuid4())
        assert error(await ask(nobody, name, face)) == (401, 10, "token_invalid")

    for scope in Scope:
        if scope is not Scope.ADMIN and needed not in SCOPE_PERMISSIONS[scope]:
            assert error(await ask(await with_key([scope.value]), name, face)) == (403, 1, "permission_denied"), scope

    # Another tenant has a collection of the same name; its key reaches nothing of this one.
    stranger: Account = await sign_up()
    await stranger.client.post("/collections", json={"name": "people"})
    created = await stranger.client.post(
        "/keys",
        json={"name": "k", "scopes": [s.value for s in Scope if s is not Scope.ADMIN], "collections": ["people"]},
    )
    async with running.client() as other:
        other.base_url = httpx.URL(API)
        other.headers["x-api-key"] = created.json()["key"]
        foreign = await ask(other, name, face)
        assert foreign.status_code < 500
        if "{" in name:
            assert foreign.status_code == 404, foreign.text
        assert face not in foreign.text.replace(f"no face {face}", "")
    assert (await service.get(FACES)).json()["total_elements"] == 1

    own = await ask(service, name, face, slash="/")
    expected = {"GET /recognition/faces/{image_id}/img": 404}.get(name, 201 if name.startswith("POST /recognition/s")
                                                                  or name == f"POST {FACES}" else 200)  # fmt: skip
    assert own.status_code == expected, own.text
    assert own.headers["cache-control"] == "no-store"


async def test_a_key_must_be_limited_to_one_collection(service: httpx.AsyncClient, with_key: With) -> None:
    for collections in (None, ["people", "lobby"]):
        answer = await (await with_key(collections=collections)).get(FACES)
        assert error(answer) == (403, 1, "permission_denied")
        assert "exactly one" in answer.json()["message"]


async def test_a_collection_that_does_not_exist_is_no_service(with_key: With) -> None:
    client = await with_key(collections=["nowhere"])
    assert error(await client.get(FACES)) == (404, 10, "collection_not_found")
    assert error(await client.post("/recognition/recognize", **PHOTO)) == (404, 10, "collection_not_found")


async def test_a_users_token_is_no_key(service: httpx.AsyncClient, admin: Account) -> None:
    token = admin.tokens["access_token"]
    assert error(await service.get(FACES, headers={"x-api-key": token})) == (401, 10, "token_invalid")


async def test_a_repeated_key_is_refused(service: httpx.AsyncClient) -> None:
    key = service.headers["x-api-key"]
    del service.headers["x-api-key"]
    answer = await service.get(FACES, headers=[("x-api-key", key), ("x-api-key", key)])
    assert error(answer) == (401, 20, "not_authenticated")


async def test_a_revoked_key_is_refused(service: httpx.AsyncClient, admin: Account) -> None:
    for key in (await admin.client.get("/keys")).json()["items"]:
        await admin.client.delete(f"/keys/{key['key_id']}")
    assert error(await service.get(FACES)) == (401, 10, "token_revoked")


async def test_other_paths_and_methods_are_refused_in_shape(service: httpx.AsyncClient) -> None:
    assert error(await service.get("/recognition/nothing")) == (404, 0, "route_not_found")
    answer = await service.patch(FACES)
    assert error(answer)[::2] == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST", "DELETE"}


async def test_a_body_over_the_limit_is_refused(service: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await service.post("/recognition/subjects", content=b" " * 70_000, headers=headers)
    assert error(answer)[::2] == (413, "request_too_large")


async def test_calls_are_metered_by_operation(service: httpx.AsyncClient, admin: Account) -> None:
    await add(service, "ada", pictures.photo(1))
    await service.post("/recognition/recognize", **PHOTO)
    usage = (await admin.client.get("/usage")).json()
    assert "compreface.add_face" in str(usage)


async def test_the_protocol_can_be_turned_off(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"compreface": False}))
    assert not [name for name in route_dependencies(app) if "/compreface" in name]


def test_only_requests_with_a_photo_wait_for_inference() -> None:
    from app.compreface import sends_photos

    body = {"content-length": "7"}
    prefix = "/compreface/api/v1"
    for name in CALLS:
        method, path = name.split()
        has_photo = "files" in CALLS[name][1]
        assert sends_photos(f"{prefix}{path}", body if method == "POST" else {}) is has_photo, name
        assert sends_photos(f"{prefix}{path}/", body if method == "POST" else {}) is has_photo, name
        assert not sends_photos(f"/api/v1{path}", body)
