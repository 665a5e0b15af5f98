"""Sightings: known people are found as photos come in and when they are registered; what people decide stays."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.domain.sightings import Suggestion
from app.services.sightings.matching import PeopleMatcher
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.api.test_albums import ALBUM, create, finished, put


@pytest.fixture
async def party(ada: Account, running: Running) -> Account:
    """Ada's tenant with an album that looks for `default`; person 1 is `ada`, persons 2 and 3 are unknown."""
    await create(ada, people=["default"])
    for name, image in (
        ("1.jpg", pictures.group(1, 2)),
        ("2.jpg", pictures.photo(2, take=1)),
        ("3.jpg", pictures.photo(3)),
    ):
        await put(ada, name, image)
    async with running.state.album_worker.running():
        await finished(ada)
    return ada


async def sightings(account: Account, **params: str) -> list[dict[str, Any]]:
    answer = await account.client.get(f"/albums/{ALBUM}/sightings", params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def summary(items: list[dict[str, Any]]) -> list[tuple[str | None, str, str | None]]:
    """Photo, state and subject of each sighting."""
    found = [(one["external_id"], one["state"], one["subject"] and one["subject"]["subject"]) for one in items]
    return sorted(found, key=str)


async def until(account: Account, expected: list[tuple[str, str, str | None]]) -> None:
    """Wait until the worker has decided again."""
    deadline = time.monotonic() + 30
    while summary(await sightings(account)) != sorted(expected, key=str):
        assert time.monotonic() < deadline, summary(await sightings(account))
        await asyncio.sleep(0.1)


async def decide(account: Account, *decisions: dict[str, Any]) -> dict[str, Any]:
    answer = await account.client.post("/sightings/decide", json={"decisions": list(decisions)})
    assert answer.status_code == 200, answer.text
    decided: dict[str, Any] = answer.json()
    return decided


START = [
    ("1.jpg", "matched", "ada"),
    ("1.jpg", "pending", None),
    ("2.jpg", "pending", None),
    ("3.jpg", "pending", None),
]


async def test_known_people_are_found_as_photos_come_in(party: Account) -> None:
    items = await sightings(party)
    assert summary(items) == sorted(START, key=str)
    (ada,) = await sightings(party, state="matched")
    assert ada["subject"] == {"collection": "default", "subject": "ada", "name": "Ada Acker"}
    assert ada["decided_by"] == "machine"
    assert 0.7 < ada["similarity"] <= 1
    assert 0 < ada["false_match_rate"] < 0.001
    seen = (await party.client.get("/collections/default/subjects/ada/sightings")).json()["items"]
    assert seen == [ada]
    pages = []
    cursor: str | None = None
    while True:
        params = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await party.client.get(f"/albums/{ALBUM}/sightings", params=params)).json()
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == items


async def test_people_are_found_again_when_they_are_registered(party: Account, running: Running) -> None:
    async with running.state.album_worker.running():
        assert (await party.register("bob", pictures.photo(2))).status_code == 201
        await until(party, [START[0], ("1.jpg", "matched", "bob"), ("2.jpg", "matched", "bob"), START[3]])
        assert (await party.client.delete("/collections/default/subjects/bob")).status_code == 200
        await until(party, START)


async def test_a_template_that_is_taken_away_decides_nothing(party: Account, running: Running) -> None:
    registered = (await party.register("ada", pictures.photo(3))).json()  # a mistake: it is somebody else
    async with running.state.album_worker.running():
        deadline = time.monotonic() + 30
        while not any(one["external_id"] == "3.jpg" and one["subject"] for one in await sightings(party)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        face_id = registered["templates"][-1]["face_id"]
        await party.client.delete(f"/collections/default/subjects/ada/faces/{face_id}")
        await until(party, START)


async def test_what_a_person_decided_stays(party: Account, running: Running) -> None:
    by_photo = {one["external_id"]: one["face_id"] for one in await sightings(party, state="pending")}
    (matched,) = await sightings(party, state="matched")
    rejected = await decide(party, {"face_id": matched["face_id"], "verdict": "reject"})
    assert rejected["items"][0]["answer"]["state"] == "rejected"
    named = {"collection": "default", "subject": "ada"}
    await decide(
        party,
        {"face_id": by_photo["2.jpg"], "verdict": "confirm", "person": named},
        {"face_id": by_photo["3.jpg"], "verdict": "ignore"},
    )
    expected = [
        ("1.jpg", "pending", None),
        ("1.jpg", "rejected", None),
        ("2.jpg", "matched", "ada"),
        ("3.jpg", "ignored", None),
    ]
    async with running.state.album_worker.running():
        for seed in (1, 2, 3):
            await party.register(f"person-{seed}", pictures.photo(seed, take=2))
        await until(
            party,
            [("1.jpg", "matched", "person-1"), ("1.jpg", "matched", "person-2"), *expected[2:]],
        )
        await party.register("ada", pictures.photo(1, take=3))  # the rejected one, once more
        await party.client.delete("/collections/default/subjects/person-1")
        await until(party, [("1.jpg", "matched", "person-2"), *expected[1:]])
    (confirmed,) = (await party.client.get("/collections/default/subjects/ada/sightings")).json()["items"]
    assert (confirmed["external_id"], confirmed["similarity"]) == ("2.jpg", None)
    assert confirmed["decided_by"].startswith("user:")


async def test_nobody_is_matched_twice_in_one_photo(party: Account, running: Running) -> None:
    (ada,) = await sightings(party, state="matched")
    (other,) = [one for one in await sightings(party, state="pending") if one["external_id"] == "1.jpg"]
    await party.register("bob", pictures.photo(9))
    bob = {"collection": "default", "subject": "bob"}
    await decide(
        party,
        {"face_id": ada["face_id"], "verdict": "reject"},
        {"face_id": other["face_id"], "verdict": "confirm", "person": bob},
    )
    async with running.state.album_worker.running():
        await party.register("bob", pictures.photo(1, take=2))  # resembles the face that is not ada
        await until(party, [("1.jpg", "matched", "bob"), ("1.jpg", "review", "bob"), *START[2:]])


async def test_a_confirmed_face_takes_the_match_from_another_in_its_photo(party: Account, running: Running) -> None:
    (other,) = [one for one in await sightings(party, state="pending") if one["external_id"] == "1.jpg"]
    ada = {"collection": "default", "subject": "ada"}
    async with running.state.album_worker.running():
        await decide(party, {"face_id": other["face_id"], "verdict": "confirm", "person": ada})
        await until(party, [("1.jpg", "matched", "ada"), ("1.jpg", "review", "ada"), *START[2:]])


async def test_what_is_undone_while_the_machine_decides_is_decided_again(
    party: Account, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = [one for one in await sightings(party, state="pending") if one["external_id"] == "1.jpg"]
    ada = {"collection": "default", "subject": "ada"}
    done = await decide(party, {"face_id": other["face_id"], "verdict": "confirm", "person": ada})
    match, undone = PeopleMatcher.match, list[int]()

    async def match_slowly(self: PeopleMatcher, *args: Any) -> dict[UUID, Suggestion]:
        found = await match(self, *args)
        if not undone:
            undone.append((await party.client.post(f"/operations/{done['operations'][0]}/undo")).status_code)
        return found

    monkeypatch.setattr(PeopleMatcher, "match", match_slowly)
    async with running.state.album_worker.running():
        await until(party, START)
        await asyncio.sleep(0.5)
    assert undone == [200]
    assert summary(await sightings(party)) == sorted(START, key=str)


async def test_a_rejection_stays_the_decision_of_who_made_it(party: Account, running: Running) -> None:
    (matched,) = await sightings(party, state="matched")
    rejected = (await decide(party, {"face_id": matched["face_id"], "verdict": "reject"}))["items"][0]["answer"]
    async with running.state.album_worker.running():
        await party.register("bob", pictures.photo(2))
        await until(
            party,
            [("1.jpg", "matched", "bob"), ("1.jpg", "rejected", None), ("2.jpg", "matched", "bob"), START[3]],
        )
    (after,) = await sightings(party, state="rejected")
    assert {**after, "cluster_id": None} == rejected  # it joined unknown faces meanwhile
    assert after["decided_by"].startswith("user:")


async def test_every_operation_can_be_undone(party: Account, running: Running) -> None:
    before = await sightings(party)
    (matched,) = await sightings(party, state="matched")
    first = await decide(
        party, *({"face_id": one["face_id"], "verdict": "ignore"} for one in before if one["state"] == "pending")
    )
    second = await decide(party, {"face_id": matched["face_id"], "verdict": "reject"})
    third = await decide(party, {"face_id": matched["face_id"], "verdict": "ignore"})
    (operation,) = second["operations"]
    assert problem(await party.client.post(f"/operations/{operation}/undo")) == "409 operation_superseded"
    for done, restored in ((third, 1), (second, 1), (first, 3)):
        answer = await party.client.post(f"/operations/{done['operations'][0]}/undo")
        assert answer.json() == {"restored": restored}
        assert problem(await party.client.post(f"/operations/{done['operations'][0]}/undo")) == "409 operation_undone"
    assert await sightings(party) == before
    async with running.state.album_worker.running():
        await until(party, START)
    assert problem(await party.client.post(f"/operations/{uuid4()}/undo")) == "404 operation_not_found"


async def test_an_undo_brings_no_erased_subject_back(party: Account) -> None:
    (matched,) = await sightings(party, state="matched")
    done = [
        await decide(party, {"face_id": matched["face_id"], "verdict": verdict})
        for verdict in ("reject", "reopen", "ignore")
    ]
    assert (await party.client.delete("/collections/default/subjects/ada")).status_code == 200
    for one in reversed(done):
        answer = await party.client.post(f"/operations/{one['operations'][0]}/undo")
        assert answer.json() == {"restored": 1}
    assert {one["state"] for one in await sightings(party)} == {"pending"}


async def test_a_confirmed_face_becomes_a_template(party: Account, running: Running) -> None:
    pending = next(one for one in await sightings(party) if one["external_id"] == "2.jpg")
    person = {"collection": "default", "subject": "bob"}
    await party.register("bob", pictures.photo(9))  # another face; the album's faces do not resemble it
    decision = {"face_id": pending["face_id"], "verdict": "confirm", "person": person, "as_template": True}
    done = await decide(party, decision)
    stored = done["items"][0]["stored_face_id"]
    subject = "/collections/default/subjects/bob"
    faces = (await party.client.get(f"{subject}/faces")).json()["items"]
    (face,) = [one for one in faces if one["face_id"] == stored]
    assert face["external_image_id"] == "2.jpg"
    assert stored != pending["face_id"]
    async with running.state.album_worker.running():  # the same person in the other photo is found by the new template
        await until(party, [START[0], ("1.jpg", "review", "bob"), ("2.jpg", "matched", "bob"), START[3]])
        undone = await party.client.post(f"/operations/{done['operations'][0]}/undo")
        assert undone.json() == {"restored": 1}
        await until(party, START)
    assert len((await party.client.get(f"{subject}/faces")).json()["items"]) == 1


async def test_a_face_that_may_not_be_stored_is_not_decided(party: Account) -> None:
    pending = next(one for one in await sightings(party) if one["external_id"] == "2.jpg")
    await party.register("bob", pictures.photo(9))
    assert (await party.client.delete("/collections/default/subjects/bob/consent")).status_code == 200
    person = {"collection": "default", "subject": "bob"}
    decision = {"face_id": pending["face_id"], "verdict": "confirm", "person": person, "as_template": True}
    done = await decide(party, decision)
    assert done["items"][0]["problem"]["code"] == "consent_withdrawn"
    assert (done["operations"], done["items"][0]["stored_face_id"]) == ([], None)
    assert summary(await sightings(party)) == sorted(START, key=str)
    refused = await party.client.post(
        "/sightings/decide", json={"decisions": [{**decision, "verdict": "ignore", "person": None}]}
    )
    assert problem(refused) == "422 invalid_parameter"


async def test_each_decision_has_an_answer_or_a_problem(party: Account, stranger: Account) -> None:
    pending = (await sightings(party, state="pending"))[0]["face_id"]
    (matched,) = await sightings(party, state="matched")
    decided = await decide(
        party,
        {"face_id": str(uuid4()), "verdict": "ignore"},
        {"face_id": pending, "verdict": "reject"},
        {"face_id": matched["face_id"], "verdict": "confirm"},
    )
    codes = [one["problem"] and one["problem"]["code"] for one in decided["items"]]
    assert codes == ["sighting_not_found", "invalid_parameter", None]
    assert decided["items"][2]["answer"]["similarity"] == matched["similarity"]
    unknown = {"collection": "default", "subject": "nobody"}
    (one,) = (await decide(party, {"face_id": pending, "verdict": "confirm", "person": unknown}))["items"]
    assert one["problem"]["code"] == "subject_not_found"
    (one,) = (await decide(party, {"face_id": pending, "verdict": "confirm"}))["items"]
    assert one["problem"]["code"] == "invalid_parameter"
    (one,) = (await decide(stranger, {"face_id": pending, "verdict": "ignore"}))["items"]
    assert one["problem"]["code"] == "sighting_not_found"
    body: dict[str, Any]
    for body in (
        {},
        {"decisions": []},
        {"decisions": [{"face_id": pending, "verdict": "maybe"}]},
        {"decisions": [{"face_id": pending, "verdict": "ignore", "person": unknown}]},
        {"decisions": [{"face_id": pending, "verdict": "ignore"}] * 2},
    ):
        answer = await party.client.post("/sightings/decide", json=body)
        assert problem(answer) == "422 invalid_parameter"


async def test_one_sighting_is_decided_by_a_route_of_its_own(party: Account, stranger: Account) -> None:
    (matched,) = await sightings(party, state="matched")
    pending = next(one["face_id"] for one in await sightings(party, state="pending") if one["external_id"] == "3.jpg")
    assert problem(await party.client.post(f"/sightings/{pending}/reject")) == "422 invalid_parameter"
    assert problem(await stranger.client.post(f"/sightings/{pending}/ignore")) == "404 sighting_not_found"
    unknown = {"person": {"collection": "default", "subject": "nobody"}}
    assert problem(await party.client.post(f"/sightings/{pending}/confirm", json=unknown)) == "404 subject_not_found"
    person = {"person": {"collection": "default", "subject": "ada"}}
    done = [
        (await party.client.post(f"/sightings/{matched['face_id']}/reject")).json(),
        (await party.client.post(f"/sightings/{pending}/confirm", json=person)).json(),
        (await party.client.post(f"/sightings/{pending}/ignore")).json(),
    ]
    assert [one["sighting"]["state"] for one in done] == ["rejected", "matched", "ignored"]
    for one in reversed(done):
        assert (await party.client.post(f"/operations/{one['operation_id']}/undo")).json() == {"restored": 1}
    assert summary(await sightings(party)) == sorted(START, key=str)


async def test_sightings_go_with_their_photo(party: Account) -> None:
    await party.client.delete(f"/albums/{ALBUM}/photos/1.jpg")
    assert summary(await sightings(party)) == START[2:]


async def test_an_album_looks_for_other_people_from_now_on(party: Account, running: Running) -> None:
    await party.client.post("/collections", json={"name": "staff"})
    await party.register("bob", pictures.photo(2), collection="staff")
    changed = await party.client.patch(f"/albums/{ALBUM}", json={"people": ["default", "staff"]})
    assert changed.json()["people"] == ["default", "staff"]
    (entry,) = (await party.client.get("/audit", params={"action": "album.changed"})).json()["items"]
    assert entry["details"]["fields"] == ["people"]
    async with running.state.album_worker.running():
        await until(party, [START[0], ("1.jpg", "matched", "bob"), ("2.jpg", "matched", "bob"), START[3]])
    unknown = await party.client.patch(f"/albums/{ALBUM}", json={"people": ["nowhere"]})
    assert problem(unknown) == "404 collection_not_found"


async def test_a_merge_takes_over_where_the_person_was_seen(party: Account, running: Running) -> None:
    await party.register("adele", pictures.photo(1, take=4))
    (pending,) = [one for one in await sightings(party) if one["external_id"] == "2.jpg"]
    person = {"collection": "default", "subject": "adele"}
    await decide(party, {"face_id": pending["face_id"], "verdict": "confirm", "person": person})
    merged = await party.client.post("/collections/default/subjects/adele/merge", json={"into": "ada"})
    assert merged.status_code == 200, merged.text
    seen = (await party.client.get("/collections/default/subjects/ada/sightings")).json()["items"]
    assert sorted(one["external_id"] for one in seen) == ["1.jpg", "2.jpg"]
    async with running.state.album_worker.running():
        await until(party, [*START[:2], ("2.jpg", "matched", "ada"), START[3]])


async def test_decisions_go_with_an_exported_subject(party: Account, running: Running) -> None:
    pending = {one["external_id"]: one["face_id"] for one in await sightings(party, state="pending")}
    (matched,) = await sightings(party, state="matched")
    ada = {"collection": "default", "subject": "ada"}
    await decide(
        party,
        {"face_id": matched["face_id"], "verdict": "reject"},
        {"face_id": pending["3.jpg"], "verdict": "confirm", "person": ada},
    )
    subject = "/collections/default/subjects/ada"
    document = (await party.client.get(f"{subject}/export")).json()
    assert (document["confirmed_faces"], document["rejected_faces"]) == ([pending["3.jpg"]], [matched["face_id"]])
    assert (await party.client.delete(subject)).status_code == 200
    assert {one["state"] for one in await sightings(party)} == {"pending"}
    document["rejected_faces"].append(str(uuid4()))  # gone meanwhile
    imported = await party.client.post("/subjects/import", json=document)
    assert imported.status_code == 201, imported.text
    expected = [
        ("1.jpg", "pending", None),
        ("1.jpg", "rejected", None),
        ("2.jpg", "pending", None),
        ("3.jpg", "matched", "ada"),
    ]
    async with running.state.album_worker.running():
        await until(party, expected)
    (seen,) = (await party.client.get(f"{subject}/sightings")).json()["items"]
    assert seen["decided_by"].startswith("user:")


async def test_an_import_overrules_nobody(party: Account) -> None:
    face_id = next(one["face_id"] for one in await sightings(party, state="pending") if one["external_id"] == "3.jpg")
    ada = {"collection": "default", "subject": "ada"}
    await decide(party, {"face_id": face_id, "verdict": "confirm", "person": ada})
    document = (await party.client.get("/collections/default/subjects/ada/export")).json()
    await party.client.delete("/collections/default/subjects/ada")
    await decide(party, {"face_id": face_id, "verdict": "ignore"})
    assert (await party.client.post("/subjects/import", json=document)).status_code == 201
    assert ("3.jpg", "ignored", None) in summary(await sightings(party))
