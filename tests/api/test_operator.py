"""The operator's API: off unless a token is set, and nothing to anybody else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from app.permissions import UNLIMITED, Permission, Quota
from app.routes.coverage import route_dependencies
from app.routes.deps.callers import get_operator
from app.settings import Settings
from tests.api.conftest import PASSWORD, Account, Running, problem, sign_in, start

TOKEN = "an operator token for tests, 32 bytes or more"


@pytest.fixture(scope="module")
async def operated(settings: Settings, database_url: str) -> AsyncIterator[Running]:
    """An app whose operator's API is on."""
    with_token = {"operator_token": SecretStr(TOKEN), "database_admin_url": SecretStr(database_url)}
    async with AsyncExitStack() as stack:
        yield await start(settings.model_copy(update=with_token), stack)


def operator_routes(running: Running) -> list[tuple[str, str]]:
    found = []
    for name, calls in route_dependencies(running.app).items():
        if get_operator in calls:
            method, path = name.split()
            found.append((method, "http://vultus" + path.replace("{tenant_id}", str(uuid4())).replace("{name}", "x")))
    return found


async def test_without_a_token_set_there_is_nothing_here(running: Running, admin: Account) -> None:
    routes = operator_routes(running)
    assert len(routes) == 7
    for method, path in routes:
        assert problem(await admin.client.request(method, path, json={})) in (
            "404 route_not_found",
            "422 invalid_parameter",
        )
    assert problem(await admin.client.get("/operator/tenants")) == "404 route_not_found"


async def test_only_the_operators_token_opens_it(operated: Running, admin: Account) -> None:
    for token in (None, admin.tokens["access_token"], TOKEN[:-1], TOKEN + "x"):
        async with operated.client(token) as client:
            for path in ("/operator/tenants", "/operator/plans", f"/operator/tenants/{admin.tenant_id}"):
                assert problem(await client.get(path)) == "401 not_authenticated"
            assert problem(await client.delete(f"/operator/tenants/{admin.tenant_id}")) == "401 not_authenticated"
    assert (await admin.client.get("/auth/me")).status_code == 200


async def test_the_operators_work(operated: Running) -> None:
    email, plan = f"{uuid4().hex}@example.com", f"plan-{uuid4().hex[:8]}"
    async with operated.client(TOKEN) as operator, operated.client() as client:
        body = {"rates": {"recognize": "7/minute"}, "quotas": {"users": 3, "templates": None}}
        saved = await operator.put(f"/operator/plans/{plan}", json=body)
        rates = {permission.value: "60/minute" for permission in Permission} | {"recognize": "7/minute"}
        quotas = {quota.value: None for quota in Quota} | {"users": 3}
        assert (saved.status_code, saved.json()) == (200, {"name": plan, "rates": rates, "quotas": quotas})
        assert plan in {item["name"] for item in (await operator.get("/operator/plans")).json()["items"]}

        body = {"tenant": "Acme", "email": email, "password": PASSWORD, "plan": plan}
        created = (await operator.post("/operator/tenants", json=body)).json()
        tenant = f"/operator/tenants/{created['tenant_id']}"
        assert (await operator.get(tenant)).json()["plan"] == plan
        assert problem(await operator.post("/operator/tenants", json=body)) == "409 email_taken"

        client.headers["authorization"] = f"Bearer {(await sign_in(client, email))['access_token']}"
        assert (await client.get("/tenant")).json()["quotas"]["users"] == {"used": 1, "limit": 3}
        assert (await operator.patch(tenant, json={"plan": "free"})).json()["plan"] == "free"
        assert (await client.get("/tenant")).json()["plan"] == "free"
        assert problem(await operator.patch(tenant, json={"plan": "no-such"})) == "404 plan_not_found"
        assert (await operator.delete(tenant)).status_code == 204
        assert problem(await operator.get(tenant)) == "404 tenant_not_found"
        assert problem(await client.get("/tenant")) == "401 token_revoked"


async def test_a_tenant_for_an_unknown_plan_is_not_half_made(operated: Running) -> None:
    email = f"{uuid4().hex}@example.com"
    body = {"tenant": "Acme", "email": email, "password": PASSWORD, "plan": "no-such-plan"}
    async with operated.client(TOKEN) as operator:
        assert problem(await operator.post("/operator/tenants", json=body)) == "404 plan_not_found"
        again: httpx.Response = await operator.post("/operator/tenants", json={**body, "plan": "free"})
        assert again.status_code == 201


async def test_the_operator_creates_tenants_without_limits_as_the_command_does(operated: Running) -> None:
    body = {"tenant": "Acme", "email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    async with operated.client(TOKEN) as operator:
        created = (await operator.post("/operator/tenants", json=body)).json()
        assert (await operator.get(f"/operator/tenants/{created['tenant_id']}")).json()["plan"] == UNLIMITED


@pytest.mark.parametrize(
    "body", [{"rates": {"fly": "1/minute"}}, {"rates": {"recognize": "often"}}, {"quotas": {"users": -1}}, {"more": 1}]
)
async def test_a_plan_that_makes_no_sense_is_refused(operated: Running, body: dict[str, object]) -> None:
    async with operated.client(TOKEN) as operator:
        assert problem(await operator.put("/operator/plans/odd", json=body)) == "422 invalid_parameter"


async def pages(operator: httpx.AsyncClient, path: str, limit: int) -> list[dict[str, Any]]:
    """All items of a list, page by page: other tests leave hundreds of tenants."""
    items: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        page = (await operator.get(path, params=params)).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        params["cursor"] = page["next_cursor"]


async def test_tenants_and_plans_come_in_pages(operated: Running) -> None:
    async with operated.client(TOKEN) as operator:
        for _ in range(2):
            body = {"tenant": "Acme", "email": f"{uuid4().hex}@example.com", "password": PASSWORD}
            assert (await operator.post("/operator/tenants", json=body)).status_code == 201
        for path, order in (("/operator/tenants", "created_at"), ("/operator/plans", "name")):
            whole, items = [await pages(operator, path, limit) for limit in (500, 7)]
            assert items == whole
            assert [item[order] for item in items] == sorted(item[order] for item in items)
