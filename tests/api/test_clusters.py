"""Clusters: unknown faces of one person are grouped; people name, merge and split them, and what they say stays."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.services.sightings import clustering
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.api.test_albums import ALBUM, create, finished, put
from tests.api.test_sightings import sightings


@pytest.fixture
async def party(ada: Account, running: Running) -> AsyncIterator[Account]:
    """Ada's tenant with an album and running workers; persons 2 and 3 are unknown."""
    await create(ada, people=["default"])
    async with running.state.album_worker.running():
        for name, image in (
            ("a.jpg", pictures.group(2, 3)),
            ("b.jpg", pictures.photo(2, take=1)),
            ("c.jpg", pictures.photo(2, take=2)),
            ("d.jpg", pictures.photo(3, take=1)),
        ):
            await put(ada, name, image)
        await finished(ada)
        await until_clustered(ada)
        yield ada


async def until_clustered(account: Account) -> None:
    deadline = time.monotonic() + 30
    while any(one["cluster_id"] is None for one in await sightings(account) if one["subject"] is None):
        assert time.monotonic() < deadline, await sightings(account)
        await asyncio.sleep(0.1)


async def list_clusters(account: Account) -> list[dict[str, Any]]:
    answer = await account.client.get(f"/albums/{ALBUM}/clusters")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def faces_of(account: Account, cluster_id: str) -> dict[str, str]:
    """Return the faces of a cluster by photo."""
    return {one["external_id"]: one["face_id"] for one in await sightings(account, cluster_id=cluster_id)}


async def send(account: Account, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await account.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def undo(account: Account, changed: dict[str, Any]) -> None:
    answer = await account.client.post(f"/operations/{changed['operation_id']}/undo")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"restored": changed["faces"]}


async def test_unknown_faces_of_one_person_are_a_cluster(party: Account) -> None:
    second, third = await list_clusters(party)
    assert (second["faces"], second["photos"], third["faces"]) == (3, 3, 2)
    faces = await faces_of(party, second["cluster_id"])
    assert set(faces) == {"a.jpg", "b.jpg", "c.jpg"}
    assert set(second["samples"]) == set(faces.values())
    assert set(await faces_of(party, third["cluster_id"])) == {"a.jpg", "d.jpg"}
    await put(party, "e.jpg", pictures.photo(3, take=2))
    await finished(party)
    await until_clustered(party)
    assert set(await faces_of(party, third["cluster_id"])) == {"a.jpg", "d.jpg", "e.jpg"}
    pages: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await party.client.get(f"/albums/{ALBUM}/clusters", params=params)).json()
        pages += [one["cluster_id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(pages) == sorted([second["cluster_id"], third["cluster_id"]])


async def test_a_cluster_is_named_and_the_name_taken_back(party: Account) -> None:
    assert (await party.register("ada", pictures.photo(1))).status_code == 201
    second, third = await list_clusters(party)
    named = await send(party, f"/clusters/{second['cluster_id']}/assign", {"collection": "default", "subject": "ada"})
    assert named["faces"] == 3
    seen = (await party.client.get("/collections/default/subjects/ada/sightings")).json()["items"]
    assert sorted(one["external_id"] for one in seen) == ["a.jpg", "b.jpg", "c.jpg"]
    assert {one["cluster_id"] for one in seen} == {None}
    assert [one["cluster_id"] for one in await list_clusters(party)] == [third["cluster_id"]]
    await asyncio.sleep(2.5)  # workers have taken the faces out of their cluster
    await undo(party, named)
    await until_clustered(party)
    assert {one["cluster_id"]: one["faces"] for one in await list_clusters(party)} == {
        second["cluster_id"]: 3,
        third["cluster_id"]: 2,
    }


async def test_what_people_say_about_clusters_stays(party: Account) -> None:
    second, third = await list_clusters(party)
    faces = await faces_of(party, second["cluster_id"])
    path = f"/clusters/{second['cluster_id']}"
    split = await send(party, f"{path}/split", {"face_ids": [faces["b.jpg"]]})
    assert split["faces"] == 1
    assert set(await faces_of(party, split["cluster_id"])) == {"b.jpg"}
    refused = await party.client.post(f"{path}/merge", json={"cluster_id": split["cluster_id"]})
    assert problem(refused) == "409 clusters_conflict"
    assert "show two people" in refused.json()["detail"]
    await put(party, "e.jpg", pictures.photo(2, take=3))
    await finished(party)
    await until_clustered(party)
    assert len(await list_clusters(party)) == 3  # the machine has not joined them again
    await undo(party, split)
    assert "b.jpg" in await faces_of(party, second["cluster_id"])
    shared = await party.client.post(f"{path}/merge", json={"cluster_id": third["cluster_id"]})
    assert problem(shared) == "409 clusters_conflict"
    assert "have a face in both clusters" in shared.json()["detail"]


async def test_merged_clusters_stay_together(party: Account) -> None:
    second, third = await list_clusters(party)
    face = (await faces_of(party, third["cluster_id"]))["d.jpg"]
    split = await send(party, f"/clusters/{third['cluster_id']}/split", {"face_ids": [face]})
    merged = await send(party, f"/clusters/{second['cluster_id']}/merge", {"cluster_id": split["cluster_id"]})
    assert merged["faces"] == 1
    assert set(await faces_of(party, second["cluster_id"])) == {"a.jpg", "b.jpg", "c.jpg", "d.jpg"}
    refused = await party.client.post(f"/clusters/{second['cluster_id']}/split", json={"face_ids": [face]})
    assert problem(refused) == "409 clusters_conflict"
    gone = await party.client.post(f"/clusters/{split['cluster_id']}/split", json={"face_ids": [face]})
    assert problem(gone) == "404 cluster_not_found"
    await undo(party, merged)
    await undo(party, split)
    assert set(await faces_of(party, third["cluster_id"])) == {"a.jpg", "d.jpg"}


async def test_impossible_changes_are_refused(party: Account, stranger: Account) -> None:
    second, third = await list_clusters(party)
    path = f"/clusters/{second['cluster_id']}"
    faces = list((await faces_of(party, second["cluster_id"])).values())
    for body, expected in (
        ({"face_ids": faces}, "422 invalid_parameter"),
        ({"face_ids": [str(uuid4())]}, "422 invalid_parameter"),
        ({"face_ids": []}, "422 invalid_parameter"),
    ):
        assert problem(await party.client.post(f"{path}/split", json=body)) == expected
    itself = await party.client.post(f"{path}/merge", json={"cluster_id": second["cluster_id"]})
    assert problem(itself) == "422 invalid_parameter"
    nobody = await party.client.post(f"{path}/assign", json={"collection": "default", "subject": "nobody"})
    assert problem(nobody) == "404 subject_not_found"
    other = await stranger.client.post(f"{path}/merge", json={"cluster_id": third["cluster_id"]})
    assert problem(other) == "404 cluster_not_found"


async def test_erased_faces_leave_their_cluster(party: Account) -> None:
    second, _ = await list_clusters(party)
    assert (await party.client.delete(f"/albums/{ALBUM}/photos/b.jpg")).status_code in {200, 204}
    await put(party, "e.jpg", pictures.photo(2, take=3))
    await finished(party)
    await until_clustered(party)
    assert set(await faces_of(party, second["cluster_id"])) == {"a.jpg", "c.jpg", "e.jpg"}


async def test_clusters_of_another_recognizer_are_made_anew(party: Account, running: Running) -> None:
    second, third = await list_clusters(party)
    face = (await faces_of(party, second["cluster_id"]))["b.jpg"]
    await send(party, f"/clusters/{second['cluster_id']}/split", {"face_ids": [face]})
    async with running.state.database.transaction(party.tenant_id) as session:
        await session.execute(text("UPDATE albums SET cluster_recognizer = 'a former one'"))
    deadline = time.monotonic() + 30
    while {one["cluster_id"] for one in await list_clusters(party)} & {second["cluster_id"], third["cluster_id"]}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    await until_clustered(party)
    found = {frozenset(await faces_of(party, one["cluster_id"])) for one in await list_clusters(party)}
    assert found == {frozenset({"a.jpg", "c.jpg"}), frozenset({"b.jpg"}), frozenset({"a.jpg", "d.jpg"})}


async def test_a_misplaced_face_moves_once_the_album_is_quiet(
    party: Account, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "_QUIET_S", 0.0)
    second, third = await list_clusters(party)
    face = (await faces_of(party, third["cluster_id"]))["d.jpg"]
    async with running.state.database.transaction(party.tenant_id) as session:
        values = {"cluster": second["cluster_id"], "face": face}
        await session.execute(text("UPDATE sightings SET cluster_id = :cluster WHERE face_id = :face"), values)
        await session.execute(text("UPDATE albums SET clusters_version = clusters_version + 1"))
    assert "d.jpg" in await faces_of(party, second["cluster_id"])
    await put(party, "e.jpg", pictures.photo(3, take=2))
    deadline = time.monotonic() + 30
    while "d.jpg" not in await faces_of(party, third["cluster_id"]):
        assert time.monotonic() < deadline, await list_clusters(party)
        await asyncio.sleep(0.1)
    assert set(await faces_of(party, second["cluster_id"])) == {"a.jpg", "b.jpg", "c.jpg"}
