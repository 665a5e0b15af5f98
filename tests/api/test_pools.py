"""Pools: a collection's own anonymous faces are matched, grouped, decided and erased in time."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.services.erasure.retention import RetentionSweep
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.api.test_albums import ALBUM, create
from tests.api.test_sightings import decide, summary

POOL = "/collections/visitors/pool"


@pytest.fixture
async def visitors(ada: Account) -> Account:
    """Ada's tenant with a collection of anonymous faces; person 1 is `ada` of `default`, person 2 is unknown."""
    await ada.client.post("/collections", json={"name": "visitors"})
    await arrive(ada, pictures.group(1, 2), "door.jpg")
    return ada


async def arrive(account: Account, image: bytes, external_id: str | None = None) -> None:
    named = {"external_image_id": external_id} if external_id else {}
    answer = await account.send("/register/all", image, collection="visitors", **named)
    assert answer.status_code == 201, answer.text


async def turn_on(account: Account, **body: Any) -> dict[str, Any]:
    answer = await account.client.put(POOL, json=body)
    assert answer.status_code == 200, answer.text
    pool: dict[str, Any] = answer.json()
    return pool


async def sightings(account: Account, **params: str) -> list[dict[str, Any]]:
    answer = await account.client.get("/collections/visitors/sightings", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def until(account: Account, expected: list[tuple[str | None, str, str | None]]) -> None:
    deadline = time.monotonic() + 30
    while summary(await sightings(account)) != sorted(expected, key=str):
        assert time.monotonic() < deadline, str(summary(await sightings(account)))
        await asyncio.sleep(0.1)


async def clusters(account: Account, sizes: list[int]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 30
    while True:
        items: list[dict[str, Any]] = (await account.client.get("/collections/visitors/clusters")).json()["items"]
        if [one["faces"] for one in items] == sizes:
            return items
        assert time.monotonic() < deadline, items
        await asyncio.sleep(0.1)


async def test_anonymous_faces_are_matched_grouped_and_named(visitors: Account, running: Running) -> None:
    pool = await turn_on(visitors, people=["default"])
    assert {**pool, "created_at": None} == {
        "collection": "visitors",
        "people": ["default"],
        "retain_days": 30,
        "faces": 2,
        "created_at": None,
    }
    await arrive(visitors, pictures.photo(2, take=1))
    async with running.state.album_worker.running():
        await until(visitors, [("door.jpg", "matched", "ada"), ("door.jpg", "pending", None), (None, "pending", None)])
        (cluster,) = await clusters(visitors, [2])
        members = await sightings(visitors, cluster_id=cluster["cluster_id"])
        assert {one["face_id"] for one in members} == set(cluster["samples"])
        await visitors.register("bob", pictures.photo(9))
        bob = {"collection": "default", "subject": "bob"}
        done = await visitors.client.post(f"/clusters/{cluster['cluster_id']}/assign", json=bob)
        assert done.json()["faces"] == 2
        await until(
            visitors, [("door.jpg", "matched", "ada"), ("door.jpg", "matched", "bob"), (None, "matched", "bob")]
        )
        await visitors.client.post(f"/operations/{done.json()['operation_id']}/undo")
        await clusters(visitors, [2])
    assert (await visitors.client.get(POOL)).json()["faces"] == 3
    assert (await visitors.client.delete(POOL)).status_code == 204
    assert problem(await visitors.client.get(POOL)) == "404 pool_not_found"
    assert (await visitors.client.get("/collections/visitors")).json()["templates"] == 3
    await turn_on(visitors)
    assert {one["state"] for one in await sightings(visitors)} == {"pending"}


async def test_a_named_subject_is_found_behind_many_anonymous_ones(visitors: Account, running: Running) -> None:
    """The six faces most similar to each face are anonymous."""
    await turn_on(visitors)
    for take in range(1, 9):
        await arrive(visitors, pictures.photo(3, take=take), "shop.jpg")
    await visitors.register("cem", pictures.photo(3, take=20), collection="visitors")
    async with running.state.album_worker.running():
        await recognized(visitors, "cem", 8)
        await arrive(visitors, pictures.photo(3, take=9), "shop.jpg")
        await recognized(visitors, "cem", 9)
    assert {one["external_id"] for one in await sightings(visitors, state="pending")} == {"door.jpg"}


async def recognized(account: Account, subject: str, faces: int) -> None:
    """Wait until so many faces match or may match a subject."""
    seen = f"/collections/visitors/subjects/{subject}/sightings"
    deadline = time.monotonic() + 30
    while len((await account.client.get(seen)).json()["items"]) != faces:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_faces_are_erased_in_time(visitors: Account, running: Running, database: Database) -> None:
    await turn_on(visitors, retain_days=7)
    async with database.transaction(visitors.tenant_id) as session:
        await session.execute(text("UPDATE sightings SET seen_at = now() - interval '8 days'"))
    await arrive(visitors, pictures.photo(3), "late.jpg")
    await visitors.register("bob", pictures.photo(4), collection="visitors")
    assert await RetentionSweep(running.state.database, running.state.trails).run() == 2
    assert summary(await sightings(visitors)) == [("late.jpg", "pending", None)]
    faces = (await visitors.client.get("/collections/visitors/faces")).json()["items"]
    assert len(faces) == 2
    entries = (await visitors.client.get("/audit", params={"action": "subject.erased"})).json()["items"]
    assert [entry["details"]["because"] for entry in entries] == ["retention"] * 2


async def test_a_rejection_holds_in_a_pool(visitors: Account, running: Running) -> None:
    await turn_on(visitors, people=["default"])
    async with running.state.album_worker.running():
        await until(visitors, [("door.jpg", "matched", "ada"), ("door.jpg", "pending", None)])
        (matched,) = await sightings(visitors, state="matched")
        await decide(visitors, {"face_id": matched["face_id"], "verdict": "reject"})
        await visitors.register("ada", pictures.photo(1, take=5))
        await until(visitors, [("door.jpg", "pending", None), ("door.jpg", "rejected", None)])
        assert (await visitors.client.delete("/collections/default/subjects/ada")).status_code == 200
        await until(visitors, [("door.jpg", "pending", None)] * 2)


async def test_what_is_no_pool(visitors: Account) -> None:
    await create(visitors)
    assert problem(await visitors.client.put(f"/collections/{ALBUM}/pool", json={})) == "422 invalid_parameter"
    assert problem(await visitors.client.get("/collections/visitors/clusters")) == "404 pool_not_found"
    assert problem(await visitors.client.get("/collections/visitors/sightings")) == "404 pool_not_found"
    assert problem(await visitors.client.get("/collections/nowhere/pool")) == "404 collection_not_found"
    assert problem(await visitors.client.delete(POOL)) == "404 pool_not_found"
    for body in ({"retain_days": 0}, {"people": ["default"] * 21}, {"days": 3}):
        assert problem(await visitors.client.put(POOL, json=body)) == "422 invalid_parameter"
    assert problem(await visitors.client.put(POOL, json={"people": ["nowhere"]})) == "404 collection_not_found"
    assert problem(await visitors.client.get(POOL)) == "404 pool_not_found"
