"""Two recognizers in one server: stored beside one another, gone over to and back, collection by collection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from app.domain.collections import Recognizers
from app.errors import RecognizerChanged
from app.matcher.search import Gallery
from app.matcher.tenant_search import TenantSearch
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.services.collections.lookup import CollectionLookup
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem, start
from tests.integration.conftest import random_embeddings

RECOGNIZERS = "/collections/default/recognizers"


@pytest.fixture(scope="module")
async def two(settings: Settings, other_pack: Path) -> AsyncIterator[Running]:
    """A server with both recognizers."""
    both = settings.model_copy(update={"extra_model_packs": [str(other_pack)]})
    async with AsyncExitStack() as stack:
        yield await start(both, stack)


@pytest.fixture
def names(two: Running) -> tuple[str, str]:
    """The two recognizers; the first is the server's first."""
    first, second = two.state.recognizers.loaded
    return first, second


@pytest.fixture
async def here(two: Running, admin: Account) -> AsyncIterator[Account]:
    """The tenant's admin, at the server with two."""
    async with two.client(admin.tokens["access_token"]) as client:
        yield Account(client, admin.tenant_id, admin.email, admin.tokens)


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer must be."""
    assert problem(answer) == f"{status} {code}", answer.text
    said: dict[str, Any] = answer.json()
    return said


async def choose(account: Account, in_use: str, secondary: str | None, **more: bool) -> httpx.Response:
    return await account.client.put(RECOGNIZERS, json={"in_use": in_use, "secondary": secondary, **more})


async def chosen(account: Account, in_use: str, secondary: str | None, **more: bool) -> dict[str, Any]:
    answer = await choose(account, in_use, secondary, **more)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def who(account: Account, seed: int) -> tuple[str, str | None]:
    """By which recognizer a photo's person is said to be whom, as a match."""
    answer = await account.send("/recognize", pictures.photo(seed, 1))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    matches = [one["subject"] for one in found["faces"][0]["candidates"] if one["decision"] == "match"]
    return found["recognizer"], matches[0] if matches else None


def covered(shown: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {one["recognizer"]: (one["faces"], one["subjects"]) for one in shown["recognizers"]}


async def test_a_collection_keeps_the_recognizer_of_its_first_face(here: Account, names: tuple[str, str]) -> None:
    assert (await here.client.get("/collections/default")).json()["recognizer"] is None
    shown = (await here.client.get(RECOGNIZERS)).json()
    assert (shown["in_use"], shown["secondary"]) == (names[0], None)
    assert covered(shown) == dict.fromkeys(names, (0, 0))
    await here.register("ada", pictures.photo(1))
    assert (await here.client.get("/collections/default")).json()["recognizer"] == names[0]


async def test_there_and_back_loses_nobody(here: Account, names: tuple[str, str]) -> None:
    first, second = names
    await here.register("ada", pictures.photo(1))
    await chosen(here, first, second)
    registered = (await here.register("bob", pictures.photo(2))).json()
    assert registered["recognizer"] == first
    assert covered((await here.client.get(RECOGNIZERS)).json()) == {first: (2, 2), second: (1, 1)}
    why = refused(await choose(here, second, first), 409, "recognizer_incomplete")
    assert "1 subjects" in why["detail"]
    missing = (await here.client.get(f"{RECOGNIZERS}/{second}/missing")).json()
    assert missing == {"items": ["ada"], "next_cursor": None}
    assert await who(here, 1) == (first, "ada")  # nothing changed
    await here.register("ada", pictures.photo(1, 2))
    shown = await chosen(here, second, first)
    assert (shown["in_use"], shown["secondary"]) == (second, first)
    assert [await who(here, seed) for seed in (1, 2)] == [(second, "ada"), (second, "bob")]
    assert (await here.register("cy", pictures.photo(3))).json()["recognizer"] == second
    await chosen(here, first, None)
    assert [await who(here, seed) for seed in (1, 2, 3)] == [(first, "ada"), (first, "bob"), (first, "cy")]
    assert await who(here, 4) == (first, None)


async def test_two_recognizers_make_one_face(here: Account, names: tuple[str, str]) -> None:
    await chosen(here, *names)
    face_id = (await here.register("ada", pictures.photo(1))).json()["templates"][0]["face_id"]
    assert covered((await here.client.get(RECOGNIZERS)).json()) == dict.fromkeys(names, (1, 1))
    listed = (await here.client.get("/collections/default/subjects/ada/faces")).json()["items"]
    assert [(one["face_id"], one["recognizer"]) for one in listed] == [(face_id, names[0])]
    assert (await here.client.get("/collections/default/subjects/ada")).json()["templates"] == 1
    assert (await here.client.get("/collections/default")).json()["templates"] == 1
    (await here.client.delete(f"/collections/default/subjects/ada/faces/{face_id}")).raise_for_status()
    assert covered((await here.client.get(RECOGNIZERS)).json()) == dict.fromkeys(names, (0, 0))


async def test_every_question_goes_to_the_recognizer_in_use(here: Account, names: tuple[str, str]) -> None:
    first, second = names
    await chosen(here, *names)
    face_id = (await here.register("ada", pictures.photo(1))).json()["templates"][0]["face_id"]
    await here.register("bob", pictures.photo(2))
    await chosen(here, second, first)
    assert (await here.send("/verify", pictures.photo(1, 1), subject="ada")).json()["decision"] == "match"
    files = [("images", ("1.jpg", pictures.photo(seed, 1), "image/jpeg")) for seed in (1, 2)]
    batch = (await here.client.post("/recognize/batch", files=files)).json()
    assert {one["answer"]["recognizer"] for one in batch["items"]} == {second}
    assert [one["answer"]["faces"][0]["candidates"][0]["subject"] for one in batch["items"]] == ["ada", "bob"]
    for recognizer, status in ((second, 200), (first, 422)):
        extracted = (await here.send("/extract", pictures.photo(1, 1), recognizer=recognizer)).json()
        assert extracted["recognizer"] == recognizer
        body = {"embedding": extracted["faces"][0]["embedding"], "recognizer": recognizer}
        found = await here.client.post("/collections/default/search", json=body)
        assert found.status_code == status, found.text
        if status == 200:
            assert found.json()["candidates"][0]["subject"] == "ada"
    for path in ("similar", f"faces/{face_id}/similar"):
        similar = (await here.client.get(f"/collections/default/subjects/ada/{path}")).json()
        assert (similar["recognizer"], [one["subject"] for one in similar["candidates"]]) == (second, ["bob"])
    unknown = await here.send("/extract", pictures.photo(1), recognizer="nobody:1")
    assert refused(unknown, 422, "invalid_parameter")["errors"][0]["field"] == "recognizer"


async def test_without_its_recognizer_a_collection_is_neither_searched_nor_stored_in(
    here: Account, admin: Account, names: tuple[str, str]
) -> None:
    await here.register("ada", pictures.photo(1))
    await chosen(here, names[1], None, accept_missing=True)
    await here.register("bob", pictures.photo(2))
    for answer in (
        await admin.send("/recognize", pictures.photo(1)),
        await admin.register("ada", pictures.photo(1)),
        await admin.send("/verify", pictures.photo(2), subject="bob"),
    ):
        said = refused(answer, 503, "recognizer_unavailable")
        assert names[1] in said["detail"]
        assert answer.headers["retry-after"] == "60"
    # What needs no network goes on, erasing before all.
    assert len((await admin.client.get("/collections/default/subjects")).json()["items"]) == 2
    assert (await admin.client.delete("/collections/default/subjects/bob")).status_code == 200
    refused(await choose(admin, names[1], names[1] + "0"), 422, "invalid_parameter")
    await chosen(admin, names[0], None)
    assert await who(admin, 1) == (names[0], "ada")


async def test_with_only_one_of_two_loaded_faces_are_stored_with_that_one(
    here: Account, admin: Account, names: tuple[str, str]
) -> None:
    await chosen(here, *names)
    assert (await admin.register("ada", pictures.photo(1))).status_code == 201
    assert covered((await admin.client.get(RECOGNIZERS)).json()) == {names[0]: (1, 1), names[1]: (0, 0)}
    assert await who(here, 1) == (names[0], "ada")


async def test_what_a_recognizer_left_can_be_erased(here: Account, names: tuple[str, str]) -> None:
    first, second = names
    await here.register("only-first", pictures.photo(1))
    await chosen(here, *names)
    await here.register("both", pictures.photo(2))
    for recognizer in names:
        refused(await here.client.delete(f"{RECOGNIZERS}/{recognizer}"), 409, "recognizer_in_use")
    await chosen(here, second, None, accept_missing=True)
    refused(await here.client.delete(f"{RECOGNIZERS}/{first}"), 409, "recognizer_incomplete")
    accepted = await here.client.delete(f"{RECOGNIZERS}/{first}", params={"accept_missing": True})
    assert accepted.status_code == 204
    assert covered((await here.client.get(RECOGNIZERS)).json()) == {second: (1, 1), first: (0, 0)}
    refused(await here.client.delete(f"{RECOGNIZERS}/{first}"), 404, "recognizer_not_found")
    assert await who(here, 2) == (second, "both")
    actions = [one["action"] for one in (await here.client.get("/audit")).json()["items"]]
    assert actions.count("recognizers.changed") == 2
    assert actions.count("recognizer.erased") == 1


async def test_a_calibration_is_shown_while_its_recognizer_decides(
    here: Account, two: Running, names: tuple[str, str]
) -> None:
    first, second = names
    await here.register("ada", pictures.photo(1))
    async with two.state.database.transaction(here.tenant_id) as session:
        collections = CollectionRepository(session, here.tenant_id)
        collection_id = (await collections.find("default")).id  # type: ignore[union-attr]
        stored = {"recognizer": first, "source": "a test", "points": [[1e-2, 0.3], [1e-3, 0.4]]}
        await collections.set_decisions(collection_id, {"calibration": stored})

    async def shown() -> Any:
        return (await here.client.get("/collections/default")).json()["calibration"]

    assert (await shown())["source"] == "a test"
    assert (await shown())["intervals"] == {}  # from before they were kept
    await chosen(here, second, first, accept_missing=True)
    assert await shown() is None
    await chosen(here, first, second)
    assert (await shown())["source"] == "a test"
    await chosen(here, second, None, accept_missing=True)
    assert (await here.client.delete(f"{RECOGNIZERS}/{first}?accept_missing=true")).status_code == 204
    async with two.state.database.transaction(here.tenant_id) as session:
        row = await CollectionRepository(session, here.tenant_id).find_row("default")
        assert row is not None
        assert row.calibration is None


async def test_a_search_under_way_while_its_gallery_is_erased_is_told_so(
    here: Account, two: Running, names: tuple[str, str]
) -> None:
    """It was looked up before its inference, and waited its turn: nobody there would be an answer, and a wrong one."""
    first, second = names
    await chosen(here, *names)
    await here.register("ada", pictures.photo(1))
    async with two.state.database.transaction(here.tenant_id) as session:
        collections = CollectionRepository(session, here.tenant_id)
        collection_id = (await collections.find("default")).id  # type: ignore[union-attr]
        ada = await SubjectRepository(session, here.tenant_id).find_row(collection_id, "ada")
    gallery, (probe,) = Gallery(collection_id, first), random_embeddings(np.random.default_rng(1), 1)
    engine = two.state.search
    search = TenantSearch(engine, here.tenant_id)
    assert [len(found) for found in (await search.identify(gallery, [probe], 5)).ranked] == [1]
    await chosen(here, second, None)
    assert (await here.client.delete(f"{RECOGNIZERS}/{first}")).status_code == 204
    assert ada is not None
    for question in (
        search.identify(gallery, [probe], 5),
        search.compare(gallery, ada.id, probe),
        search.subjects_like_subject(gallery, ada.id, 5),
        search.faces_like(gallery, probe, 5, -1.0),
        search.named_subjects_like(gallery, probe, 5, -1.0),
    ):
        with pytest.raises(RecognizerChanged):
            await question
    assert [len(found) for found in (await search.identify(Gallery(collection_id, second), [probe], 5)).ranked] == [1]
    for empty in (first, second):  # a collection that never had a face follows the server
        nowhere = Gallery(uuid4(), empty)
        assert (await search.identify(nowhere, [probe], 5)).ranked == [[]]


async def test_a_person_is_taken_along_with_both(here: Account, names: tuple[str, str]) -> None:
    await chosen(here, *names)
    await here.register("ada", pictures.photo(1), pictures.photo(1, 2))
    document = (await here.client.get("/collections/default/subjects/ada/export")).json()
    assert len(document["faces"]) == 4
    assert len({one["face_id"] for one in document["faces"]}) == 2
    (await here.client.delete("/collections/default/subjects/ada")).raise_for_status()
    twice = {**document, "faces": document["faces"] + document["faces"][:1]}
    refused(await here.client.post("/subjects/import", json=twice), 422, "invalid_parameter")
    taken = await here.client.post("/subjects/import", json=document)
    assert taken.json()["templates"] == 2
    assert covered((await here.client.get(RECOGNIZERS)).json()) == dict.fromkeys(names, (2, 1))
    await chosen(here, names[0], None)
    (await here.client.delete("/collections/default/subjects/ada")).raise_for_status()
    (await here.client.post("/subjects/import", json=document)).raise_for_status()
    assert covered((await here.client.get(RECOGNIZERS)).json()) == {names[0]: (2, 1), names[1]: (0, 0)}
    # One face that the recognizer in use did not embed does not keep the others out.
    (await here.client.delete("/collections/default/subjects/ada")).raise_for_status()
    of_first = next(one for one in document["faces"] if one["recognizer"] == names[0])
    fewer = {**document, "faces": [one for one in document["faces"] if one is not of_first]}
    (await here.client.post("/subjects/import", json=fewer)).raise_for_status()
    assert covered((await here.client.get(RECOGNIZERS)).json()) == {names[0]: (1, 1), names[1]: (0, 0)}
    others = {
        **document,
        "subject": "bob",
        "faces": [one for one in document["faces"] if one["recognizer"] != names[0]],
    }
    refused(await here.client.post("/subjects/import", json=others), 422, "recognizer_mismatch")


async def test_who_registers_while_a_collection_goes_over_is_stored_or_told(
    here: Account, two: Running, names: tuple[str, str]
) -> None:
    await chosen(here, *names)
    await here.register("p0", pictures.photo(100))

    async def register(number: int) -> bool:
        answer = await here.register(f"p{number}", pictures.photo(100 + number))
        if answer.status_code == 503:
            refused(answer, 503, "recognizer_changed")
        else:
            assert answer.status_code == 201, answer.text
        return answer.status_code == 201

    async def go_over() -> None:
        for in_use in (names[1], names[0], names[1]):
            await asyncio.sleep(0.05)
            secondary = names[0] if in_use == names[1] else names[1]
            await chosen(here, in_use, secondary)

    *stored, _ = await asyncio.gather(*(register(number) for number in range(1, 9)), go_over())
    there = 1 + sum(bool(one) for one in stored)
    assert covered((await here.client.get(RECOGNIZERS)).json()) == dict.fromkeys(names, (there, there))
    async with two.state.database.transaction(here.tenant_id) as session:
        collections = CollectionRepository(session, here.tenant_id)
        lookup = CollectionLookup(collections, two.state.recognizers)
        with pytest.raises(RecognizerChanged):
            await lookup.lock_for_storing("default", Recognizers(names[0]))
