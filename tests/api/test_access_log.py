"""The access log says who called, from where and what went wrong, and nothing secret; requests that only look odd."""

import logging
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog

from tests import pictures
from tests.api.conftest import PASSWORD, Account, Running, problem


@pytest.fixture
def lines(running: Running) -> Any:
    """The access log's lines, as dictionaries."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.INFO)
    with structlog.testing.capture_logs() as captured:
        yield captured
    root.setLevel(level)


def last(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return [line for line in lines if line["event"] == "request"][-1]


async def test_a_line_names_address_tenant_and_caller(
    admin: Account, running: Running, lines: list[dict[str, Any]]
) -> None:
    user_id = (await admin.client.get("/auth/me")).json()["user_id"]
    found = last(lines)
    assert (found["route"], found["status"]) == ("/api/v1/auth/me", 200)
    assert (found["address"], found["tenant"]) == ("127.0.0.1", str(admin.tenant_id))
    assert found["caller"] == f"user:{UUID(user_id)}"
    assert "code" not in found
    made = (await admin.client.post("/keys", json={"name": "k", "scopes": ["recognize"]})).json()
    async with running.client(made["key"]) as program:
        program._transport.client = ("::ffff:198.51.100.7", 1)  # type: ignore[attr-defined]
        assert problem(await program.get("/collections")) == "403 permission_denied"
    found = last(lines)
    assert (found["address"], found["caller"]) == ("198.51.100.7", f"key:{made['key_id']}")
    assert (found["status"], found["code"]) == (403, "permission_denied")


async def test_a_line_has_the_code_of_every_kind_of_error(
    admin: Account, anonymous: httpx.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    cases: dict[str, httpx.Response] = {}
    cases["route_not_found"] = await anonymous.get("/nowhere")
    assert last(lines)["code"] == "route_not_found"
    cases["method_not_allowed"] = await anonymous.delete("/auth/token")
    assert last(lines)["code"] == "method_not_allowed"
    cases["invalid_credentials"] = await anonymous.post(
        "/auth/token", data={"username": admin.email, "password": "wrong-secret"}
    )
    assert last(lines)["code"] == "invalid_credentials"
    assert "tenant" not in last(lines)
    cases["request_too_large"] = await anonymous.post("/auth/signup", content=b"x" * 70_000)
    assert last(lines)["code"] == "request_too_large"
    cases["no_face"] = await admin.register("bob", pictures.landscape())
    assert (last(lines)["code"], last(lines)["tenant"]) == ("no_face", str(admin.tenant_id))
    assert [answer.json()["code"] for answer in cases.values()] == list(cases)
    assert (await admin.client.get("/auth/me")).status_code == 200
    assert "code" not in last(lines)  # of the request before
    logged = str(lines)
    for secret in (PASSWORD, "wrong-secret", admin.email, admin.tokens["access_token"], "bob"):
        assert secret not in logged


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_head_is_answered_like_get(path: str, running: Running, anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.head(f"http://vultus{path}")
    assert answer.status_code == (await anonymous.get(f"http://vultus{path}")).status_code
    assert answer.status_code in (200, 503)


@pytest.mark.parametrize("path", ["/healthz/", "/docs/", "/api/v1/collections/", "/api/v1/auth/token/"])
async def test_no_redirect_names_another_host(path: str, anonymous: httpx.AsyncClient) -> None:
    for method in ("GET", "POST"):
        answer = await anonymous.request(method, f"http://vultus{path}", headers={"host": "evil.example"})
        assert problem(answer) == "404 route_not_found"
        assert "location" not in answer.headers
        assert answer.json()["detail"].endswith("; paths do not end with a slash.")


async def test_no_line_contains_an_external_image_id_or_a_search_text(
    admin: Account, lines: list[dict[str, Any]]
) -> None:
    faces, secret = "/collections/default/faces", "party-with-ada.jpg"
    await admin.register("ada", pictures.photo(1), external_image_id=secret)
    await admin.client.get(faces, params={"external_image_id": secret})
    assert (await admin.client.delete(faces, params={"external_image_id": secret})).status_code == 200
    assert problem(await admin.client.delete(faces, params={"external_image_id": secret})) == "404 face_not_found"
    await admin.client.get("/collections/default/subjects", params={"q": secret, "metadata.name": secret})
    assert len(lines) >= 5
    assert secret not in repr(lines)
