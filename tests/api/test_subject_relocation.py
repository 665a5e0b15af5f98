"""Subjects under another id, merged, and in another collection: their faces keep their ids and are found at once."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.permissions import Role
from app.persistence.connections.database import Database
from tests import pictures
from tests.api.conftest import Account, WithRole, problem
from tests.api.test_privacy import everything_stored

SUBJECTS = "/collections/default/subjects"
ADA = f"{SUBJECTS}/ada"


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


@pytest.fixture
async def lobby(ada: Account) -> Account:
    """`ada`, with a collection `lobby`."""
    ok(await ada.client.post("/collections", json={"name": "lobby"}), 201)
    return ada


async def rename(account: Account, subject: str, new_id: str, **more: Any) -> httpx.Response:
    return await account.client.patch(f"{SUBJECTS}/{subject}", json={"subject": new_id, **more})


async def faces_of(account: Account, subject: str, collection: str = "default") -> list[str]:
    listed = ok(await account.client.get(f"/collections/{collection}/subjects/{subject}/faces"))
    return [face["face_id"] for face in listed["items"]]


async def who(account: Account, seed: int, collection: str = "default") -> list[str]:
    """The subjects that a photo's person is said to be, as a match."""
    answer = ok(await account.send("/recognize", pictures.photo(seed, 1), collection=collection))
    return [one["subject"] for one in answer["faces"][0]["candidates"] if one["decision"] == "match"]


async def found(account: Account, query: str, collection: str = "default") -> list[str]:
    listed = ok(await account.client.get(f"/collections/{collection}/subjects", params={"q": query}))
    return [one["subject"] for one in listed["items"]]


async def audit_of(account: Account, subject: str, collection: str = "default") -> list[dict[str, Any]]:
    params = {"collection": collection, "subject": subject}
    entries: list[dict[str, Any]] = ok(await account.client.get("/audit", params=params))["items"]
    return entries


async def test_a_renamed_subject_keeps_its_faces_and_is_found_under_the_new_id_only(ada: Account) -> None:
    faces = await faces_of(ada, "ada")
    assert await who(ada, 1) == ["ada"]
    renamed = ok(await rename(ada, "ada", "countess", name="Ada L."))
    assert (renamed["subject"], renamed["name"], renamed["templates"]) == ("countess", "Ada L.", 1)
    assert await faces_of(ada, "countess") == faces
    assert await who(ada, 1) == ["countess"]
    assert problem(await ada.client.get(ADA)) == "404 subject_not_found"
    assert (await found(ada, "countess"), await found(ada, "ada")) == (["countess"], ["countess"])  # by id, by name
    ok(await rename(ada, "countess", "c2", name=None))
    assert (await found(ada, "countess"), await found(ada, "c2")) == ([], ["c2"])
    ok(await ada.register("ada", pictures.photo(2)), 201)  # the old id is free
    assert (await who(ada, 1), await who(ada, 2)) == (["c2"], ["ada"])


async def test_a_taken_or_reserved_id_is_refused(ada: Account) -> None:
    ok(await ada.register("bob", pictures.photo(2)), 201)
    assert problem(await rename(ada, "ada", "bob", name="Nobody")) == "409 subject_exists"
    refused = await rename(ada, "ada", f"face@{uuid4()}")
    assert problem(refused) == "422 invalid_parameter"
    assert refused.json()["errors"][0]["field"] == "subject"
    assert ok(await ada.client.get(ADA))["name"] == "Ada Acker"  # nothing of the refused request is kept
    assert ok(await rename(ada, "ada", "ada"))["subject"] == "ada"
    assert ok(await ada.client.patch(ADA, json={"subject": None}))["subject"] == "ada"
    assert [entry["action"] for entry in await audit_of(ada, "ada")] == ["faces.registered"]
    both = await asyncio.gather(rename(ada, "ada", "eve"), rename(ada, "bob", "eve"))
    assert sorted(answer.status_code for answer in both) == [200, 409]


async def test_an_anonymous_subject_has_no_other_id(ada: Account) -> None:
    ok(await ada.client.post("/collections", json={"name": "lobby"}), 201)
    stored = ok(await ada.send("/register/all", pictures.photo(3)), 201)
    anonymous = stored["stored"][0]["subject"]
    for answer in (
        await rename(ada, anonymous, "eve"),
        await ada.client.post(f"{SUBJECTS}/{anonymous}/merge", json={"into": "ada"}),
        await ada.client.post(f"{ADA}/merge", json={"into": anonymous}),
        await ada.client.post(f"{SUBJECTS}/{anonymous}/move", json={"collection": "lobby", "subject": "eve"}),
    ):
        assert problem(answer) == "409 subject_anonymous"
        assert "assign the face" in answer.json()["detail"]


async def test_answers_about_the_old_id_are_emptied_and_the_renaming_itself_is_repeated(ada: Account) -> None:
    one, other = ({"idempotency-key": uuid4().hex} for _ in range(2))
    ok(await ada.client.patch(ADA, json={"name": "Ada"}, headers=one))
    for _ in range(2):
        renamed = await ada.client.patch(ADA, json={"subject": "countess"}, headers=other)
        assert ok(renamed)["subject"] == "countess"
    assert problem(await ada.client.patch(ADA, json={"name": "Ada"}, headers=one)) == "410 idempotent_answer_erased"
    ok(await ada.client.delete(f"{SUBJECTS}/countess"))
    again = await ada.client.patch(ADA, json={"subject": "countess"}, headers=other)
    assert problem(again) == "410 idempotent_answer_erased"


async def test_the_trail_leads_from_one_id_to_the_other_and_names_neither(ada: Account) -> None:
    ok(await rename(ada, "ada", "countess"))
    (former, *_), (current, *_) = await audit_of(ada, "ada"), await audit_of(ada, "countess")
    assert former["action"] == current["action"] == "subject.renamed"
    assert former["details"]["became"] == current["target"]
    assert current["details"]["was"] == former["target"]
    assert "countess" not in str([former, current])


async def test_no_column_of_any_table_holds_a_former_id(lobby: Account, database: Database) -> None:
    token = uuid4().hex
    ids = [f"{name}-{token}" for name in ("renamed", "merged", "moved", "kept")]
    paths = [f"{SUBJECTS}/{id_}" for id_ in ids]
    for id_ in (*ids[:3], "kept"):
        lobby.client.headers["idempotency-key"] = uuid4().hex
        ok(await lobby.register(id_, pictures.photo(1)), 201)
    for path, body in (
        (paths[0], {"subject": ids[3]}),
        (f"{paths[1]}/merge", {"into": "kept"}),
        (f"{paths[2]}/move", {"collection": "lobby", "subject": "kept"}),
    ):
        lobby.client.headers["idempotency-key"] = uuid4().hex
        ok(await lobby.client.request("POST" if "/m" in path[-7:] else "PATCH", path, json=body))
    stored = await everything_stored(database)
    assert any(ids[3] in rows for rows in stored.values())
    told = stored.pop("events").splitlines()  # receivers must learn which ids are gone, by one event each
    assert sum(any(id_ in row for id_ in ids[:3]) for row in told) == 3
    assert all(sum(f"subject.deleted,default,{id_}," in row for row in told) == 1 for id_ in ids[:3])
    left = {(table, id_) for table, rows in stored.items() for id_ in ids[:3] if id_ in rows}
    assert left == set()


async def merge(account: Account, subject: str, into: str) -> httpx.Response:
    return await account.client.post(f"{SUBJECTS}/{subject}/merge", json={"into": into})


async def make(account: Account, subject: str, **fields: Any) -> None:
    ok(await account.client.post(SUBJECTS, json={"subject": subject, **fields}), 201)


async def test_a_merged_subject_is_one_with_all_faces_and_what_it_lacked(ada: Account) -> None:
    registered = await ada.register(
        "a2", pictures.photo(1, 2), pictures.photo(1, 3), metadata='{"team": 9, "site": "B"}'
    )
    faces = [face["face_id"] for face in ok(registered, 201)["templates"]]
    ok(await ada.client.put(f"{SUBJECTS}/a2/consent", json={"reference": "form 7"}))
    before = await faces_of(ada, "ada")
    assert set(await who(ada, 1)) == {"ada", "a2"}
    merged = ok(await merge(ada, "a2", "ada"))
    assert merged["faces"] == 2
    assert {name: merged["subject"][name] for name in ("subject", "name", "metadata", "templates")} == {
        "subject": "ada",
        "name": "Ada Acker",
        "metadata": {"team": 7, "site": "B"},
        "templates": 3,
    }
    assert merged["subject"]["consent"]["reference"] == "form 7"
    assert set(await faces_of(ada, "ada")) == {*before, *faces}
    assert await who(ada, 1) == ["ada"]
    assert problem(await ada.client.get(f"{SUBJECTS}/a2")) == "404 subject_not_found"
    assert await found(ada, "a2") == []
    shown = ok(await ada.client.get("/collections/default"))
    assert (shown["subjects"], shown["templates"]) == (1, 3)
    former, current = (await audit_of(ada, "a2"))[0], (await audit_of(ada, "ada"))[0]
    assert (former["action"], former["details"]["faces"]) == ("subject.merged", 2)
    assert (former["details"]["became"], current["details"]["was"]) == (current["target"], former["target"])
    ok(await ada.client.delete(ADA))
    assert await who(ada, 1) == []


async def test_the_earlier_expiry_of_both_counts(ada: Account) -> None:
    early, late = "2090-01-01T00:00:00Z", "2091-01-01T00:00:00Z"
    for subject, expires_at in (("early", early), ("late", late), ("never", None)):
        await make(ada, subject, expires_at=expires_at)
    assert ok(await merge(ada, "late", "never"))["subject"]["expires_at"] == late
    assert ok(await merge(ada, "never", "early"))["subject"]["expires_at"] == early


async def test_a_merge_is_refused_that_breaks_a_rule(ada: Account, with_role: WithRole) -> None:
    await make(ada, "bob")
    assert problem(await merge(ada, "ada", "ada")) == "422 invalid_parameter"
    assert problem(await merge(ada, "ada", "nobody")) == "404 subject_not_found"
    assert problem(await merge(ada, "nobody", "ada")) == "404 subject_not_found"
    refused = await merge(await with_role(Role.OPERATOR), "bob", "ada")
    assert (problem(refused), "delete permission" in refused.json()["detail"]) == ("403 permission_denied", True)
    ok(await ada.client.put("/policy", json={"consent_required": True}))
    assert problem(await merge(ada, "ada", "bob")) == "422 consent_required"
    ok(await ada.client.put(f"{SUBJECTS}/bob/consent", json={"reference": "form 7"}))
    ok(await ada.client.delete(f"{SUBJECTS}/bob/consent"))
    assert problem(await merge(ada, "ada", "bob")) == "422 consent_withdrawn"
    assert problem(await merge(ada, "bob", "ada")) == "422 consent_withdrawn"
    await make(ada, "big", metadata={"a": "x" * 9_000})
    await make(ada, "bigger", metadata={"b": "x" * 9_000}, consent="form 8")
    assert problem(await merge(ada, "big", "bigger")) == "422 invalid_parameter"
    assert await faces_of(ada, "ada")


async def test_a_merge_is_done_once(ada: Account) -> None:
    await make(ada, "bob")
    one, other = ({"idempotency-key": uuid4().hex} for _ in range(2))
    ok(await ada.client.patch(ADA, json={"name": "Ada"}, headers=one))
    for _ in range(2):
        answer = await ada.client.post(f"{ADA}/merge", json={"into": "bob"}, headers=other)
        assert ok(answer)["faces"] == 1
    assert problem(await ada.client.patch(ADA, json={"name": "Ada"}, headers=one)) == "410 idempotent_answer_erased"


async def test_of_merges_in_opposite_directions_one_wins_and_no_face_is_lost(ada: Account) -> None:
    for number in range(6):
        faces = {
            face["face_id"]
            for subject, seed in (("left", 2), ("right", 3))
            for face in ok(await ada.register(subject, pictures.photo(seed, number)), 201)["templates"]
        }
        answers = await asyncio.gather(
            merge(ada, "left", "right"), merge(ada, "right", "left"), ada.register("left", pictures.photo(4, number))
        )
        assert sorted(answer.status_code for answer in answers) in ([200, 201, 404], [200, 200, 201])
        faces |= {face["face_id"] for face in answers[2].json()["templates"]}
        kept = set[str]()
        for subject in ("left", "right"):
            if (await ada.client.get(f"{SUBJECTS}/{subject}")).status_code == 200:
                kept |= set(await faces_of(ada, subject))
                ok(await ada.client.delete(f"{SUBJECTS}/{subject}"))
        assert kept == faces
        assert ok(await ada.client.get("/collections/default"))["templates"] == 1


async def move(account: Account, subject: str, collection: str, new_id: str | None = None) -> httpx.Response:
    body = {"collection": collection} | ({} if new_id is None else {"subject": new_id})
    return await account.client.post(f"{SUBJECTS}/{subject}/move", json=body)


async def test_a_moved_subject_is_found_in_the_other_collection_only(lobby: Account) -> None:
    ok(await lobby.client.put(f"{ADA}/consent", json={"reference": "form 7"}))
    ok(await lobby.client.patch(ADA, json={"expires_at": "2090-01-01T00:00:00Z"}))
    ok(await lobby.register("bob", pictures.photo(2)), 201)
    before, faces = ok(await lobby.client.get(ADA)), await faces_of(lobby, "ada")
    assert (await who(lobby, 1), await who(lobby, 1, "lobby")) == (["ada"], [])
    moved = ok(await move(lobby, "ada", "lobby", "countess"))
    assert (moved["collection"], moved["faces"], moved["dropped_templates"]) == ("lobby", 1, 0)
    left_alone = {name: value for name, value in before.items() if name not in ("subject", "updated_at")}
    assert moved["subject"] == {**moved["subject"], **left_alone, "subject": "countess"}
    assert await faces_of(lobby, "countess", "lobby") == faces
    assert (await who(lobby, 1), await who(lobby, 1, "lobby")) == ([], ["countess"])
    assert (await who(lobby, 2), await found(lobby, "ada")) == (["bob"], [])
    assert await found(lobby, "countess", "lobby") == ["countess"]
    for collection, templates in (("default", 1), ("lobby", 1)):
        shown = ok(await lobby.client.get(f"/collections/{collection}"))
        assert (shown["subjects"], shown["templates"]) == (1, templates)
    assert ok(await lobby.client.get("/tenant"))["quotas"]["templates"]["used"] == 2
    again = ok(await lobby.register("countess", pictures.photo(1), collection="lobby"), 201)
    assert [face["was_stored"] for face in again["templates"]] == [True]
    former, current = (await audit_of(lobby, "ada"))[0], (await audit_of(lobby, "countess", "lobby"))[1]
    assert former["action"] == current["action"] == "subject.moved"
    assert (former["details"]["became"], current["details"]["was"]) == (current["target"], former["target"])
    ok(await lobby.client.delete("/collections/default"), 204)
    assert await who(lobby, 1, "lobby") == ["countess"]


async def test_a_move_is_refused_that_breaks_a_rule(lobby: Account, stranger: Account, with_role: WithRole) -> None:
    ok(await lobby.client.post("/collections/lobby/subjects", json={"subject": "ada"}), 201)
    assert problem(await move(lobby, "ada", "lobby")) == "409 subject_exists"
    assert problem(await move(lobby, "ada", "default")) == "422 invalid_parameter"
    assert problem(await move(lobby, "ada", "nowhere")) == "404 collection_not_found"
    assert problem(await move(lobby, "nobody", "lobby")) == "404 subject_not_found"
    assert problem(await move(lobby, "ada", "lobby", f"face@{uuid4()}")) == "422 invalid_parameter"
    assert problem(await move(stranger, "ada", "lobby")) == "404 collection_not_found"
    assert problem(await move(await with_role(Role.OPERATOR), "ada", "lobby", "a")) == "403 permission_denied"
    body = {"name": "k", "scopes": ["register", "delete"], "collections": ["default"]}
    key = ok(await lobby.client.post("/keys", json=body), 201)
    limited = {"authorization": f"Bearer {key['key']}"}
    answer = await lobby.client.post(f"{ADA}/move", json={"collection": "lobby", "subject": "a"}, headers=limited)
    assert problem(answer) == "404 collection_not_found"
    assert await who(lobby, 1) == ["ada"]


async def test_a_move_is_done_once(lobby: Account) -> None:
    one, other = ({"idempotency-key": uuid4().hex} for _ in range(2))
    ok(await lobby.client.patch(ADA, json={"name": "Ada"}, headers=one))
    for _ in range(2):
        assert ok(await lobby.client.post(f"{ADA}/move", json={"collection": "lobby"}, headers=other))["faces"] == 1
    assert problem(await lobby.client.patch(ADA, json={"name": "Ada"}, headers=one)) == "410 idempotent_answer_erased"


async def test_an_erasure_during_a_move_leaves_nothing_or_everything(lobby: Account) -> None:
    for number in range(6):
        ok(await lobby.register("eve", pictures.photo(5, number)), 201)
        answers = await asyncio.gather(
            move(lobby, "eve", "lobby"),
            lobby.client.delete(f"{SUBJECTS}/eve"),
            lobby.client.patch(f"{SUBJECTS}/eve", json={"subject": "eva"}),
            lobby.register("other", pictures.photo(6, number), collection="lobby"),
        )
        assert [answer.status_code for answer in answers if answer.status_code not in (200, 201, 404)] == []
        assert sorted(answer.status_code for answer in answers[:3]) == [200, 404, 404]
        left = [len(await found(lobby, word, name)) for word in ("eve", "eva") for name in ("default", "lobby")]
        assert sum(left) == (0 if answers[1].status_code == 200 else 1)
        for collection, subject in (("default", "eva"), ("lobby", "eve")):
            await lobby.client.delete(f"/collections/{collection}/subjects/{subject}")


async def test_subjects_cross_one_another_between_two_collections(lobby: Account) -> None:
    ok(await lobby.register("bob", pictures.photo(2), collection="lobby"), 201)
    for _ in range(6):
        answers = await asyncio.gather(
            move(lobby, "ada", "lobby"),
            lobby.client.post("/collections/lobby/subjects/bob/move", json={"collection": "default"}),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        assert (await who(lobby, 1, "lobby"), await who(lobby, 2)) == (["ada"], ["bob"])
        ok(await lobby.client.post("/collections/lobby/subjects/ada/move", json={"collection": "default"}))
        ok(await move(lobby, "bob", "lobby"))
        assert (await who(lobby, 1), await who(lobby, 2, "lobby")) == (["ada"], ["bob"])
