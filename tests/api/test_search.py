"""Searching a collection without an image."""

from typing import Any

import pytest

from app.permissions import Role
from tests import pictures
from tests.api.conftest import Account, WithRole, problem


@pytest.fixture
async def three(ada: Account) -> Account:
    """`ada` beside another photo of her under another id, and somebody else."""
    for subject, photo in (("ada-again", pictures.photo(1, take=2)), ("ben", pictures.photo(2))):
        answer = await ada.register(subject, photo, name=subject.title())
        assert answer.status_code == 201, answer.text
    return ada


async def extracted(account: Account, photo: bytes) -> dict[str, Any]:
    answer = (await account.send("/extract", photo)).json()
    return {"embedding": answer["faces"][0]["embedding"], "recognizer": answer["recognizer"]}


async def test_an_embedding_finds_its_person(three: Account) -> None:
    probe = await extracted(three, pictures.photo(2, take=1))
    answer = await three.client.post("/collections/default/search", json=probe)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["collection"] == "default"
    assert body["recognizer"] == probe["recognizer"]
    best, *others = body["candidates"]
    assert (best["subject"], best["name"], best["decision"]) == ("ben", "Ben", "match")
    assert best["similarity"] == best["subject_similarity"]  # one template
    assert {other["decision"] for other in others} == {"no_match"}
    assert len(others) == 2
    # Twice as long is the same direction.
    doubled = {**probe, "embedding": [2 * number for number in probe["embedding"]], "limit": 1}
    again = (await three.client.post("/collections/default/search", json=doubled)).json()
    assert again["candidates"] == [best]


async def test_a_threshold_decides_and_hides_nobody(three: Account) -> None:
    probe = await extracted(three, pictures.photo(2, take=1))
    for threshold, decisions in ((1.0, {"no_match"}), (-1.0, {"match", "review"})):
        body = (await three.client.post("/collections/default/search", json={**probe, "threshold": threshold})).json()
        assert body["review_threshold"] == threshold
        assert {candidate["decision"] for candidate in body["candidates"]} == decisions
        assert len(body["candidates"]) == 3
    assert body["false_match_rate"] == pytest.approx(0.5, abs=1e-3)  # strangers, however low the threshold


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"embedding": [0.0] * 512}, "422 invalid_parameter"),
        ({"embedding": [1.0] * 511}, "422 invalid_parameter"),
        ({"embedding": [1.0] * 511 + ["x"]}, "422 invalid_parameter"),
        ({"embedding": [1.0] * 511 + [1e300]}, "422 invalid_parameter"),
        ({"embedding": None}, "422 invalid_parameter"),
        ({"recognizer": "another:1"}, "422 recognizer_mismatch"),
        ({"limit": 0}, "422 invalid_parameter"),
        ({"limit": 101}, "422 invalid_parameter"),
        ({"threshold": 2}, "422 invalid_parameter"),
    ],
)
async def test_a_search_that_cannot_be_is_refused(three: Account, change: dict[str, Any], code: str) -> None:
    probe = await extracted(three, pictures.photo(2))
    answer = await three.client.post("/collections/default/search", json={**probe, **change})
    assert problem(answer) == code
    assert "1.0, 1.0" not in answer.text  # no embedding in an error


async def test_embeddings_are_taken_only_from_who_may_see_them(three: Account, with_role: WithRole) -> None:
    probe = await extracted(three, pictures.photo(2))
    viewer = await with_role(Role.VIEWER)
    answer = await viewer.client.post("/collections/default/search", json=probe)
    assert problem(answer) == "403 permission_denied"
    assert (await viewer.client.get("/collections/default/subjects/ada/similar")).status_code == 200


async def test_a_subject_finds_its_double_and_not_itself(three: Account) -> None:
    answer = await three.client.get("/collections/default/subjects/ada/similar", params={"limit": 5})
    assert [candidate["subject"] for candidate in answer.json()["candidates"]] == ["ada-again", "ben"]
    assert [candidate["decision"] for candidate in answer.json()["candidates"]] == ["match", "no_match"]
    answer = await three.client.get("/collections/default/subjects/ada/similar", params={"limit": 1})
    assert [candidate["subject"] for candidate in answer.json()["candidates"]] == ["ada-again"]


async def test_a_stored_face_finds_its_double_and_not_its_own_subject(three: Account) -> None:
    faces = (await three.client.get("/collections/default/subjects/ada/faces")).json()["items"]
    path = f"/collections/default/subjects/ada/faces/{faces[0]['face_id']}/similar"
    answer = await three.client.get(path)
    assert [candidate["subject"] for candidate in answer.json()["candidates"]] == ["ada-again", "ben"]
    # The face of another subject is not this one's.
    assert problem(await three.client.get(path.replace("/ada/", "/ben/"))) == "404 face_not_found"


async def test_a_subject_without_faces_has_nothing_to_search_with(three: Account) -> None:
    await three.client.post("/collections/default/subjects", json={"subject": "faceless"})
    answer = await three.client.get("/collections/default/subjects/faceless/similar")
    assert problem(answer) == "404 face_not_found"


async def test_a_match_needs_the_whole_subject(three: Account) -> None:
    """One photo of Ben among Ada's attracts Ben to her no more than to be shown."""
    await three.register("ada", pictures.photo(1, take=1))
    await three.register("ada", pictures.photo(1, take=2))
    await three.register("ada", pictures.photo(2, take=2))
    body = (await three.send("/recognize", pictures.photo(2, take=1))).json()
    decisions = {candidate["subject"]: candidate for candidate in body["faces"][0]["candidates"]}
    assert decisions["ben"]["decision"] == "match"
    assert decisions["ada"]["similarity"] > body["threshold"]
    assert decisions["ada"]["decision"] == "no_match"
    assert decisions["ada"]["subject_similarity"] < body["threshold"]
