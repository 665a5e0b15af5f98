"""What a client sends under an unknown name is refused by name, on every route, and never ignored."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from tests import pictures
from tests.api.conftest import Account

API = "/api/v1"
OAUTH = {"/api/v1/auth/token"}
"""RFC 6749 (3.2): unknown parameters of a token request must be ignored."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app: FastAPI = create_app()
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def open_objects(document: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    """The places in a request's schema at which unknown fields would be accepted."""
    schema = resolve(document, schema)
    if "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield at
        for name, part in schema["properties"].items():
            if name == "audit":  # an export's copy of the trail, which an import ignores as a whole
                continue
            yield from open_objects(document, part, f"{at}.{name}")
    if schema.get("additionalProperties") is not False:  # otherwise they cannot add a field
        for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            yield from open_objects(document, part, at)
    if "items" in schema:
        yield from open_objects(document, schema["items"], f"{at}[]")


def test_no_request_body_accepts_unknown_fields(document: dict[str, Any]) -> None:
    bodies = 0
    for method, path, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            bodies += 1
            if path not in OAUTH:
                assert list(open_objects(document, content["schema"], f"{method} {path} {kind}")) == []
    assert bodies > 20


async def test_every_route_refuses_an_unknown_query_parameter(admin: Account, document: dict[str, Any]) -> None:
    asked = 0
    for method, path, _ in operations(document):
        if not path.startswith(API):
            continue
        url = path.removeprefix(API)
        for part in ("collection", "subject"):
            url = url.replace(f"{{{part}}}", "default")
        while "{" in url:
            url = url[: url.index("{")] + str(uuid4()) + url[url.index("}") + 1 :]
        answer = await admin.client.request(method, url, params={"nonsense": "1"})
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "invalid_parameter"), f"{method} {path}: {answer.text}"
        assert body["errors"][0]["field"] == "nonsense"
        asked += 1
    assert asked > 50


async def test_every_json_route_refuses_an_unknown_field(admin: Account, document: dict[str, Any]) -> None:
    asked = 0
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content or "/operator/" in path or "/guest/" in path:
            continue
        url = path.removeprefix(API).replace("{collection}", "default").replace("{subject}", "ada")
        while "{" in url:
            url = url[: url.index("{")] + str(uuid4()) + url[url.index("}") + 1 :]
        answer = await admin.client.request(method, url, json={"nonsense": 1})
        assert answer.status_code == 422, f"{method} {path}: {answer.text}"
        unknown = [error for error in answer.json()["errors"] if error["field"] == "nonsense"]
        assert unknown, f"{method} {path}: {answer.text}"
        asked += 1
    assert asked > 12


@pytest.mark.parametrize(
    ("path", "images", "fields"),
    [
        ("/register", ("images",), {"subject": "ada"}),
        ("/register/all", ("image",), {}),
        ("/recognize", ("image",), {}),
        ("/recognize/batch", ("images",), {}),
        ("/verify", ("image",), {"subject": "ada"}),
        ("/compare", ("source", "target"), {}),
        ("/compare/batch", ("source", "targets"), {}),
        ("/detect", ("image",), {}),
        ("/extract", ("image",), {}),
        ("/extract/batch", ("images",), {}),
    ],
)
async def test_every_form_refuses_an_unknown_field(
    admin: Account, path: str, images: tuple[str, ...], fields: dict[str, str]
) -> None:
    files = [(name, ("photo.jpg", pictures.photo(1))) for name in images]
    answer = await admin.client.post(path, data={**fields, "treshold": "0.9"}, files=files)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "treshold"
    assert (await admin.client.get("/collections/default/subjects")).json()["items"] == []


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("colection", "collection"), ("expiresAt", "expires_at"), ("Consent", "consent"), ("meta", "metadata")],
)
async def test_the_nearest_known_field_is_named(admin: Account, sent: str, meant: str) -> None:
    files = {"images": ("photo.jpg", pictures.photo(1))}
    answer = await admin.client.post("/register", data={"subject": "ada", sent: "x"}, files=files)
    assert answer.status_code == 422
    assert f"Did you mean '{meant}'?" in answer.json()["detail"]


async def test_a_nested_unknown_field_is_named_with_the_nearest(admin: Account) -> None:
    body = {"collection": "default", "subject": "ada", "faces": [{"qualty": {}}]}
    answer = (await admin.client.post("/subjects/import", json=body)).json()
    assert "Did you mean 'quality'?" in answer["detail"]
    assert "faces.0.qualty" in [error["field"] for error in answer["errors"]]


async def test_a_parameter_in_the_query_of_a_form_route_is_refused(ada: Account) -> None:
    files = {"image": ("photo.jpg", pictures.photo(1))}
    answer = await ada.client.post("/recognize", params={"collection": "lobby", "threshold": "0.99"}, files=files)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "collection"


async def test_a_single_parameter_sent_twice_is_refused(admin: Account) -> None:
    answer = await admin.client.get("/collections/default/subjects?limit=5&limit=7")
    assert answer.status_code == 422
    assert "sent 2 times" in answer.json()["detail"]
    assert (await admin.client.get("/audit?action=faces.registered&action=subject.erased")).status_code == 200


async def test_a_token_request_may_have_parameters_of_other_grants(anonymous: httpx.AsyncClient) -> None:
    form = {"username": "nobody@example.com", "password": "x" * 12, "audience": "x"}
    assert (await anonymous.post("/auth/token", data=form)).status_code == 401
