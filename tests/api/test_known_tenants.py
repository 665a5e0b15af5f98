"""What a worker remembers of a tenant never outlives a change: of the plan, the role, the session or the collection."""

import asyncio
from uuid import uuid4

from sqlalchemy import text

from app.permissions import Plan
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory, TenantDirectory
from tests import pictures
from tests.api.conftest import Account, problem


async def put_on(database: Database, account: Account, name: str, recognize: str, **quotas: int | None) -> None:
    async with database.transaction(as_operator=True) as session:
        await PlanDirectory(session).save(Plan(name, {"recognize": recognize, "read": "1000/minute"}, quotas))
        await TenantDirectory(session).set_plan(account.tenant_id, name)


async def test_a_changed_rate_counts_from_the_next_request(ada: Account, database: Database) -> None:
    name = f"plan-{uuid4().hex}"
    await put_on(database, ada, name, "100/minute")
    for _ in range(2):
        assert (await ada.send("/detect", pictures.photo(1))).headers["ratelimit-policy"] == '"recognize";q=100;w=60'
    await put_on(database, ada, name, "3/hour")
    answers = [await ada.send("/detect", pictures.photo(1)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"recognize";q=3;w=3600'
    await put_on(database, ada, name, "unlimited", recognitions_a_month=0)
    refused = await ada.send("/detect", pictures.photo(1))
    assert problem(refused).endswith("quota_exceeded")


async def test_a_changed_role_and_an_ended_session_are_known_at_once(ada: Account, database: Database) -> None:
    for _ in range(2):
        assert (await ada.send("/recognize", pictures.photo(1))).status_code == 200
    async with database.transaction(ada.tenant_id) as session:
        await session.execute(text("UPDATE users SET role = 'viewer'"))
    refused = await ada.register("ada", pictures.photo(1))
    assert problem(refused) == "403 permission_denied"
    assert (await ada.send("/recognize", pictures.photo(1))).status_code == 200
    async with database.transaction(ada.tenant_id) as session:
        counted = await session.scalar(text("SELECT recognitions FROM tenant_usage"))
        await session.execute(text("UPDATE sessions SET revoked_at = now()"))
    assert counted == 3
    assert problem(await ada.send("/recognize", pictures.photo(1))) == "401 token_revoked"
    async with database.transaction(ada.tenant_id) as session:
        assert await session.scalar(text("SELECT recognitions FROM tenant_usage")) == 3


async def test_a_deleted_and_a_new_collection_are_known_at_once(ada: Account) -> None:
    await ada.client.post("/collections", json={"name": "lobby"})
    await ada.register("ada", pictures.photo(1), collection="lobby")
    for _ in range(2):
        (face,) = (await ada.send("/recognize", pictures.photo(1), collection="lobby")).json()["faces"]
        assert face["candidates"][0]["subject"] == "ada"
    await ada.client.delete("/collections/lobby")
    assert problem(await ada.send("/recognize", pictures.photo(1), collection="lobby")) == "404 collection_not_found"
    await ada.client.post("/collections", json={"name": "lobby"})
    (face,) = (await ada.send("/recognize", pictures.photo(1), collection="lobby")).json()["faces"]
    assert face["candidates"] == []
    (face,) = (await ada.send("/recognize", pictures.photo(1))).json()["faces"]  # another collection than the last one
    assert face["candidates"][0]["subject"] == "ada"


async def test_requests_at_the_same_time_search_the_collections_that_they_name(ada: Account) -> None:
    await ada.client.post("/collections", json={"name": "lobby"})
    await ada.register("bob", pictures.photo(1), collection="lobby")
    expected = {"default": "ada", "lobby": "bob"}
    for _ in range(6):
        names = ["default", "lobby"] * 5
        answers = await asyncio.gather(*(ada.send("/recognize", pictures.photo(1), collection=name) for name in names))
        for name, answer in zip(names, answers, strict=True):
            (face,) = answer.json()["faces"]
            assert face["candidates"][0]["subject"] == expected[name]
