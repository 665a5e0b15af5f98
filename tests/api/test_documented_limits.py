"""Requests at the limits that the OpenAPI document states: methods, repeated names, empty and null fields, words."""

import base64
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.openapi import operations_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE")
UNDOCUMENTED = {
    "/docs": {"GET"},
    "/openapi.json": {"GET"},
    "/docs/assets/swagger-ui.css": {"GET", "HEAD"},
    "/rekognition": {"POST"},
    "/rekognition/": {"POST"},
    "/compreface/api/v1/recognition/faces": {"GET", "POST", "DELETE"},
    "/compreface/api/v1/recognition/faces/": {"GET", "POST", "DELETE"},
    "/compreface/api/v1/recognition/recognize": {"POST"},
}
ANSWERED_TOO = {"/healthz": {"HEAD"}, "/readyz": {"HEAD"}}


async def test_every_405_lists_the_methods_of_the_path(running: Running, anonymous: httpx.AsyncClient) -> None:
    paths = {path: {method.upper() for method in methods} for path, methods in running.app.openapi()["paths"].items()}
    refused = 0
    for path, documented in (paths | UNDOCUMENTED).items():
        allowed = documented | ANSWERED_TOO.get(path, set())
        # An id that must be a UUID is part of what makes the path.
        url = "http://vultus" + path.replace("{video_id}", str(uuid4())).replace("{", "").replace("}", "")
        for method in METHODS:
            answer = await anonymous.request(method, url)
            if method in allowed:
                assert answer.status_code != 405, f"{method} {path}"
                continue
            assert answer.status_code == 405, f"{method} {path}: {answer.status_code}"
            assert set(answer.headers["allow"].split(", ")) == allowed, f"{method} {path}"
            refused += 1
    assert refused > 300


async def test_a_path_with_a_slash_at_its_end_is_no_redirect(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/collections/", headers={"host": "evil.example"})
    assert problem(answer) == "404 route_not_found"
    assert "location" not in answer.headers


JSON = {"content-type": "application/json"}
PHOTO = base64.b64encode(pictures.photo(1)).decode()


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("POST", "/collections", '{"name": "a", "name": "b"}', "name"),
        ("POST", "/collections/default/subjects", '{"subject": "a", "metadata": {"x": {"y": 1, "y": 2}}}', "y"),
        ("PUT", "/policy", '{"retention_days": 9, "retention_days": 900}', "retention_days"),
        ("POST", "/detect", f'{{"detail": "fast", "image": "{PHOTO}", "detail": "fast"}}', "detail"),
        ("POST", "/subjects/import", '{"collection": "default", "subject": "a", "subject": "b"}', "subject"),
    ],
)
async def test_a_name_twice_in_a_json_object_is_refused(
    admin: Account, method: str, path: str, body: str, name: str
) -> None:
    answer = await admin.client.request(method, path, content=body, headers=JSON)
    assert problem(answer) == "422 duplicate_field"
    assert answer.json()["errors"][0]["field"] == name


async def test_a_name_twice_in_a_face_is_refused(ada: Account) -> None:
    document = (await ada.client.get("/collections/default/subjects/ada/export")).json()
    document["subject"] = "bob"
    sent = json.dumps(document).replace('"source":', '"source": "x", "source":')
    assert problem(await ada.client.post("/subjects/import", content=sent, headers=JSON)) == "422 duplicate_field"
    assert (await ada.client.post("/subjects/import", json=document)).status_code == 201


async def test_empty_fields_of_a_form_are_omitted_ones(admin: Account) -> None:
    answer = await admin.send("/recognize", pictures.photo(1), collection="", limit="", threshold="", detail="")
    assert (answer.status_code, answer.json()["collection"]) == (200, "default"), answer.text
    assert problem(await admin.send("/recognize", pictures.photo(1), nonsense="")) == "422 invalid_parameter"
    assert problem(await admin.send("/verify", pictures.photo(1), subject="")) == "422 invalid_parameter"


async def test_null_fields_of_a_json_body_are_omitted_ones(admin: Account) -> None:
    nothing = {"collection": None, "limit": None, "threshold": None, "detail": None, "images": None}
    answer = await admin.client.post("/recognize", json={"image": PHOTO, **nothing})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("value", ["5", True])
async def test_numbers_of_a_json_body_are_no_text(admin: Account, value: Any) -> None:
    answer = await admin.client.post("/recognize", json={"image": PHOTO, "limit": value})
    assert problem(answer) == "422 invalid_parameter"
    assert answer.json()["errors"][0]["field"] == "limit"
    search = {"embedding": [0.1] * 512, "recognizer": "x", "limit": value}
    assert problem(await admin.client.post("/collections/default/search", json=search)) == "422 invalid_parameter"


async def test_metadata_of_a_form_is_a_part_of_json(admin: Account) -> None:
    form = {
        "images": ("a.jpg", pictures.photo(1), "image/jpeg"),
        "metadata": (None, b'{"team": 7}', "application/json"),
    }
    registered = await admin.client.post("/register", data={"subject": "ada"}, files=form)
    assert registered.status_code == 201, registered.text
    subject = (await admin.client.get("/collections/default/subjects/ada")).json()
    assert subject["metadata"] == {"team": 7}


@pytest.mark.parametrize("value", ["a\0", {"a\0": 1}, 10**309, [["\0"]]])
async def test_metadata_that_cannot_be_stored_is_refused(admin: Account, value: Any) -> None:
    body = {"subject": "ada", "metadata": {"x": value}}
    assert problem(await admin.client.post("/collections/default/subjects", json=body)) == "422 invalid_parameter"


async def test_errors_show_words_and_no_regular_expression(admin: Account) -> None:
    bad = "a b/[]\u200b"
    answers = [
        await admin.client.post("/collections", json={"name": bad}),
        await admin.client.post("/collections/default/subjects", json={"subject": bad}),
        await admin.client.post("/users", json={"email": bad, "password": "x" * 12}),
        await admin.client.get("/audit", params={"since": bad}),
        await admin.client.get("/usage", params={"before": bad}),
        await admin.client.get("/users/x"),
        await admin.client.post("/collections", json={"name": "a"}, headers={"idempotency-key": "a b"}),
    ]
    for answer in answers:
        assert problem(answer) == "422 invalid_parameter"
        (error,) = answer.json()["errors"]
        assert error["detail"].startswith("must ")
        assert not set("^$\\{") & set(error["detail"])
        assert "limit" not in error


async def test_the_secret_of_an_object_store_is_in_no_error(admin: Account) -> None:
    body = {"endpoint": "https://minio.example", "access_key_id": "a", "secret_access_key": "geheim-ä-geheim"}
    answer = await admin.client.put("/object-store", json=body)
    assert problem(answer) == "422 invalid_parameter"
    assert "geheim" not in answer.text


async def test_every_response_of_an_operation_has_its_headers(admin: Account, running: Running) -> None:
    for name, operation in operations_of(running.app.openapi()).items():
        responses = operation["responses"]
        assert all("x-request-id" in response["headers"] for response in responses.values()), name
        assert "422" in responses, name
        if "security" in operation:
            assert {"401", "429", "503"} <= set(responses), name
        if "requestBody" in operation:
            assert {"408", "413", "415"} <= set(responses), name
        for status, response in responses.items():
            if not status.startswith("2"):
                assert "application/problem+json" in response["content"], f"{name}: {status}"
    missing = await admin.client.get(f"/users/{uuid4()}", headers={"x-request-id": "mine"})
    assert missing.headers["x-request-id"] == "mine"
