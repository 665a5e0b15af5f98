"""Decisions: thresholds that follow a collection's policy and size, and how often they are wrong."""

import numpy as np
import pytest

from app.domain.faces import Embedding
from app.ml.calibration import DRAWN
from app.persistence.connections.database import Database
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.integration.conftest import FACE, random_embeddings

DECIDED = {"threshold", "review_threshold", "false_match_rate", "comparisons", "calibration"}


async def recognized(account: Account, take: int = 1, **fields: str) -> dict[str, object]:
    answer = await account.send("/recognize", pictures.photo(1, take), **fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


async def fill(
    running: Running,
    database: Database,
    account: Account,
    count: int,
    *,
    prefix: str = "x",
    embedding: Embedding | None = None,
) -> None:
    """So many strangers more in the default collection, without photos; or so many with one face."""
    recognizer = running.state.faces.engine.recognizer
    async with database.transaction(account.tenant_id) as session:
        row = await CollectionRepository(session, account.tenant_id).find_row("default")
        assert row is not None
        store = TemplateStore(session, account.tenant_id, running.state.search.protector)
        faces = []
        strangers = random_embeddings(np.random.default_rng(count), count) if embedding is None else [embedding] * count
        for number, one in enumerate(strangers):
            subjects = SubjectRepository(session, account.tenant_id)
            subject_id = await subjects.upsert(row.id, f"{prefix}{number}", None, None)
            faces.append(NewFace.of(subject_id, FACE, {recognizer: one}))
        await store.add_all(faces, collection_id=row.id, source="test")


async def test_every_answer_says_how_it_was_decided(ada: Account) -> None:
    photo = {"image": ("photo.jpg", pictures.photo(1, 1), "image/jpeg")}
    embedding = (await ada.client.post("/extract", files=photo)).json()
    found = await recognized(ada)
    answers = [
        found,
        (await ada.client.post("/recognize/batch", files=[("images", photo["image"])])).json()["items"][0]["answer"],
        (await ada.client.post("/verify", data={"subject": "ada"}, files=photo)).json(),
        (await ada.client.post("/compare", files={"source": photo["image"], "target": photo["image"]})).json(),
        (await ada.client.get("/collections/default/subjects/ada/similar")).json(),
        (
            await ada.client.post(
                "/collections/default/search",
                json={"embedding": embedding["faces"][0]["embedding"], "recognizer": embedding["recognizer"]},
            )
        ).json(),
    ]
    for index, answer in enumerate(answers):
        rate = 1e-4 if index in (2, 3) else 1e-3  # of a claim, of a comparison; of a search
        assert answer.keys() >= DECIDED
        assert answer["comparisons"] == 1
        assert answer["threshold"] == pytest.approx(DRAWN.similarity_at(rate), abs=1e-4)
        assert answer["false_match_rate"] == pytest.approx(rate)
        assert answer["calibration"] == DRAWN.description


async def test_the_threshold_rises_with_the_collection(ada: Account, running: Running, database: Database) -> None:
    small = await recognized(ada)
    await fill(running, database, ada, 99)
    large = await recognized(ada)
    assert (small["comparisons"], large["comparisons"]) == (1, 100)
    assert large["threshold"] == pytest.approx(DRAWN.similarity_at(1 - (1 - 1e-3) ** (1 / 100)), abs=1e-4)
    assert large["false_match_rate"] == small["false_match_rate"] == pytest.approx(1e-3)
    first, second = (found["faces"][0]["candidates"][0] for found in (small, large))  # type: ignore[index]
    assert first["similarity"] == pytest.approx(second["similarity"], abs=1e-3)
    assert second["false_match_rate"] == pytest.approx(100 * first["false_match_rate"], rel=0.1)


async def test_a_collection_says_how_often_it_may_be_wrong(ada: Account, stranger: Account) -> None:
    path = "/collections/default/policy"
    best = (await recognized(ada))["faces"][0]["candidates"][0]  # type: ignore[index]
    assert best["decision"] == "match"
    rate = best["false_match_rate"]
    strict = {"max_false_match_rate": rate / 10, "review_false_match_rate": rate * 10}
    assert (await ada.client.put(path, json=strict)).json()["max_false_match_rate"] == strict["max_false_match_rate"]
    found = await recognized(ada)
    assert found["faces"][0]["candidates"][0]["decision"] == "review"  # type: ignore[index]
    assert found["threshold"] > best["similarity"] > found["review_threshold"]
    stricter = {"max_false_match_rate": rate / 100, "review_false_match_rate": rate / 10}
    await ada.client.put(path, json=stricter)
    assert (await recognized(ada))["faces"][0]["candidates"][0]["decision"] == "no_match"  # type: ignore[index]
    explicit = await recognized(ada, threshold="0.5")
    assert (explicit["threshold"], explicit["review_threshold"]) == (0.5, 0.5)
    assert explicit["faces"][0]["candidates"][0]["decision"] == "match"  # type: ignore[index]
    await ada.client.put(path, json={})
    assert (await recognized(ada))["faces"][0]["candidates"][0]["decision"] == "match"  # type: ignore[index]
    assert (await stranger.client.get("/collections/default")).json()["max_false_match_rate"] == 1e-3


@pytest.mark.parametrize(
    "body",
    [
        {"max_false_match_rate": 0},
        {"max_false_match_rate": 0.6},
        {"max_false_match_rate": "often"},
        {"max_false_match_rate": "0.01"},
        {"max_false_match_rate": True},
        {"max_false_match_rate": 1e-2, "review_false_match_rate": 1e-3},
        {"threshold": 0.5},
    ],
)
async def test_a_policy_that_is_none(admin: Account, body: dict[str, object]) -> None:
    assert problem(await admin.client.put("/collections/default/policy", json=body)) == "422 invalid_parameter"


async def test_people_who_are_one_and_the_same_are_no_calibration_and_that_is_said(
    ada: Account, running: Running, database: Database
) -> None:
    await fill(running, database, ada, 60)
    (face,) = random_embeddings(np.random.default_rng(1), 1)
    await fill(running, database, ada, 20, prefix="y", embedding=face)
    answer = await ada.client.post("/collections/default/calibration")
    assert problem(answer) == "422 invalid_parameter"
    assert "subjects that duplicate another one" in answer.json()["detail"]


async def test_a_collection_without_faces_answers_with_its_own_policy(admin: Account) -> None:
    await admin.client.put("/collections/default/policy", json={"max_false_match_rate": 1e-4})
    answer = (await admin.send("/recognize", pictures.photo(1))).json()
    assert answer["comparisons"] == 0
    assert answer["threshold"] == pytest.approx(DRAWN.similarity_at(1e-4), abs=1e-4)
    assert answer["false_match_rate"] == 0


async def test_the_search_in_memory_decides_alike(ada: Account, running: Running) -> None:
    await ada.client.put("/collections/default/policy", json={"max_false_match_rate": 1e-2})
    first = await recognized(ada)
    await running.state.search.cache.wait_until_loaded()
    async with running.state.database.transaction(ada.tenant_id) as session:
        collection = await CollectionRepository(session, ada.tenant_id).find("default")
    assert collection is not None
    recognizer = running.state.faces.engine.recognizer
    assert running.state.search.cache.find_whole(ada.tenant_id, collection.id, recognizer)
    assert await recognized(ada) == first
    await ada.client.put("/collections/default/policy", json={"max_false_match_rate": 1e-4})
    assert (await recognized(ada))["threshold"] > first["threshold"]  # type: ignore[operator]


async def test_a_collection_is_calibrated_on_its_own_faces(ada: Account, running: Running, database: Database) -> None:
    too_few = await ada.client.post("/collections/default/calibration")
    assert problem(too_few) == "422 invalid_parameter"
    before = await recognized(ada)
    await fill(running, database, ada, 300)
    done = (await ada.client.post("/collections/default/calibration")).json()["calibration"]
    assert "301 subjects" in done["source"]
    # Random directions in 512 dimensions: normal around 0, with a deviation of 1 / sqrt(512).
    deviation = 512**-0.5
    assert done["cosines"]["0.1"] == pytest.approx(1.282 * deviation, abs=0.01)
    assert done["cosines"]["0.001"] == pytest.approx(3.09 * deviation, abs=0.02)
    after = await recognized(ada)
    assert after["calibration"] == f"{done['source']}; rates below 0.001 are extrapolated"
    assert done["intervals"].keys() == done["cosines"].keys()
    assert all(low <= float(rate) <= high for rate, (low, high) in done["intervals"].items())
    assert after["threshold"] < before["threshold"]  # type: ignore[operator]
    verified = (await ada.send("/verify", pictures.photo(1, 2), subject="ada")).json()
    assert verified["recognizer"] == after["recognizer"]
    assert 0 < verified["similarity_false_match_rate"] < verified["false_match_rate"]
    gone = (await ada.client.delete("/collections/default/calibration")).json()
    assert gone["calibration"] is None
    assert (await recognized(ada))["calibration"] == before["calibration"]
    actions = [entry["action"] for entry in (await ada.client.get("/audit")).json()["items"][:2]]
    assert actions == ["collection.calibrated"] * 2
