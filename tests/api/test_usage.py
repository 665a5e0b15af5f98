"""What was done is counted: for a bill by day, operation and caller; for Prometheus without any name."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from app.main import render_error
from app.permissions import Permission, Plan, Principal
from app.server.request_context import CALLER, OPERATION, RequestContext, counted_change
from app.settings import Settings
from app.wiring.caller import CallerServices
from tests import pictures
from tests.api.conftest import Account, Running, problem, start

TOKEN = "a token for the tests' metrics, 32 bytes"


async def usage(account: Account, **days: str) -> dict[str, Any]:
    answer = await account.client.get("/usage", params=days)
    counts: dict[str, Any] = answer.raise_for_status().json()
    return counts


def by_operation(counts: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {item["operation"]: (item["calls"], item["images"]) for item in counts["items"]}


async def test_what_was_answered_is_counted_by_operation_and_caller(ada: Account, running: Running) -> None:
    issued = (await ada.client.post("/keys", json={"name": "program", "scopes": ["recognize"]})).json()
    async with running.client(issued["key"]) as program:
        for _ in range(3):
            files = [("images", ("a.jpg", pictures.photo(1), "image/jpeg"))] * 2
            assert (await program.post("/recognize/batch", files=files)).status_code == 200
    await ada.send("/recognize", pictures.photo(1))
    counts = await usage(ada)
    names = ("recognize", "recognize_batch")
    recognized = {item["key_id"]: item for item in counts["items"] if item["operation"] in names}
    assert recognized[issued["key_id"]]["operation"] == "recognize_batch"
    assert recognized[issued["key_id"]]["calls"] == 3
    assert recognized[issued["key_id"]]["images"] == 6
    assert (recognized[None]["calls"], recognized[None]["images"]) == (1, 1)
    assert recognized[None]["user_id"] is not None
    assert by_operation(counts)["register"] == (1, 1)
    assert (counts["calls"], counts["images"]) == tuple(
        sum(item[name] for item in counts["items"]) for name in ("calls", "images")
    )
    assert {item["day"] for item in counts["items"]} == {str(datetime.now(UTC).date())}


async def test_refusals_errors_and_repeated_answers_are_not_counted(ada: Account, stranger: Account) -> None:
    before = by_operation(await usage(ada))
    assert (await ada.send("/verify", pictures.landscape(), subject="ada")).status_code == 422
    assert (await ada.send("/recognize", pictures.photo(1), collection="nope")).status_code == 404
    ada.client.headers["idempotency-key"] = "once"
    for _ in range(3):
        assert (await ada.register("bob", pictures.photo(2))).status_code == 201
    after = by_operation(await usage(ada))
    assert after["register"] == (before["register"][0] + 1, before["register"][1] + 1)
    assert not after.keys() & {"recognize", "verify"}
    assert by_operation(await usage(stranger)) == {}


async def test_days_can_be_chosen(ada: Account) -> None:
    await ada.send("/recognize", pictures.photo(1))
    assert (await usage(ada, since="2020-01-01", before="2020-02-01"))["items"] == []
    today = str(datetime.now(UTC).date())
    assert (await usage(ada, since=today))["calls"] > 0
    for days in ({"since": "2020-01-01"}, {"since": "2026-02-01", "before": "2026-01-01"}, {"since": "x"}):
        assert problem(await ada.client.get("/usage", params=days)) == "422 invalid_parameter"


async def test_usage_comes_in_pages_with_the_totals_of_all(ada: Account) -> None:
    await ada.send("/recognize", pictures.photo(1))
    await ada.client.get("/collections")
    whole = await usage(ada)
    assert len(whole["items"]) > 1
    assert whole["next_cursor"] is None
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await usage(ada, limit="1", **({"cursor": cursor} if cursor else {}))
        assert (page["calls"], page["images"]) >= (whole["calls"], whole["images"])
        items += page["items"]
        cursor = page["next_cursor"]
    operations = [item["operation"] for item in items if item["operation"] != "list_usage"]
    assert operations == [item["operation"] for item in whole["items"]]
    cursor = (await usage(ada, limit="1"))["next_cursor"]
    other = {"cursor": cursor, "since": "2020-01-01", "before": "2020-02-01"}
    assert problem(await ada.client.get("/usage", params=other)) == "422 invalid_cursor"


async def test_what_could_not_be_added_is_added_later(ada: Account, running: Running, monkeypatch: Any) -> None:
    from app.errors import DatabaseUnavailable
    from app.services.tenancy import metering

    async def away(*_: object) -> None:
        raise DatabaseUnavailable

    await asyncio.sleep(0)
    before = (await usage(ada))["calls"]
    with monkeypatch.context() as patch:
        patch.setattr(metering, "add_usage", away)
        await ada.send("/recognize", pictures.photo(1))
        await running.state.meter.flush()
    counts = await usage(ada)
    assert by_operation(counts)["recognize"] == (1, 1)
    assert counts["calls"] > before


async def test_without_a_token_set_there_are_no_metrics(anonymous: httpx.AsyncClient) -> None:
    assert problem(await anonymous.get("http://vultus/metrics")) == "404 route_not_found"


@pytest.fixture
async def measured(settings: Settings) -> Any:
    async with AsyncExitStack() as stack:
        yield await start(settings.model_copy(update={"metrics_token": SecretStr(TOKEN)}), stack)


async def test_metrics_are_for_who_sends_the_token_and_name_nobody(ada: Account, measured: Running) -> None:
    async with measured.client(ada.tokens["access_token"]) as client:
        files = {"image": ("photo.jpg", pictures.photo(1), "image/jpeg")}
        assert (await client.post("/recognize", files=files)).status_code == 200
        assert (await client.get("/collections/default/subjects/ada")).status_code == 200
        assert problem(await client.get("http://vultus/metrics")) == "401 not_authenticated"
        await client.request("MADEUP", "http://vultus/healthz")
    async with measured.client(TOKEN) as prometheus:
        answer = await prometheus.get("http://vultus/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert any(
        line.startswith('vultus_requests_total{method="POST",route="/api/v1/recognize",status="200"}') for line in lines
    )
    assert any(line.startswith('vultus_stage_seconds_count{stage="embed"}') for line in lines)
    assert any('route="/api/v1/collections/{collection}/subjects/{subject}"' in line for line in lines)
    assert "MADEUP" not in answer.text
    assert str(ada.tenant_id) not in answer.text
    assert "ada" not in answer.text.replace("vultus_images", "").split()
    assert '/ada"' not in answer.text


async def test_a_change_that_is_rolled_back_is_not_counted(ada: Account) -> None:
    for status in (201, 409):
        answer = await ada.client.post("/collections/default/subjects", json={"subject": "eve"})
        assert answer.status_code == status
    assert by_operation(await usage(ada))["create_subject"] == (1, 0)


async def test_a_change_whose_caller_gets_an_error_is_taken_back(ada: Account, running: Running) -> None:
    """Between the commit and the answer the server may find that it cannot answer."""
    principal = Principal(ada.tenant_id, frozenset(Permission), Plan("free"), user_id=uuid4())

    async def fails_after_the_commit(scope: Scope, receive: Receive, send: Send) -> None:
        scope.update({"state": dict(running.lifespan), CALLER: principal, OPERATION: "lost"})
        caller = CallerServices(running.state, principal, asyncio.get_running_loop().create_future())
        async with counted_change(scope, caller.transaction()):
            pass
        assert by_operation(await usage(ada))["lost"] == (1, 0)
        raise OSError

    app = RequestContext(fails_after_the_commit, render_error=render_error)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vultus/api/v1") as client:
        assert (await client.post("/lost")).status_code == 500
    assert by_operation(await usage(ada))["lost"] == (0, 0)
