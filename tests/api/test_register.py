"""Registering people."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text

from app.persistence.connections.database import Database
from tests import pictures
from tests.api.conftest import Account, Running, problem


async def test_registering_stores_a_template_and_says_what_it_saw(admin: Account) -> None:
    answer = await admin.register("ada", pictures.photo(1), name="Ada Acker", metadata='{"team": 7}')
    assert answer.status_code == 201
    body = answer.json()
    assert (body["subject"], body["collection"], body["refused"]) == ("ada", "default", [])
    assert body["recognizer"].startswith("rec_drawn:")
    (template,) = body["templates"]
    assert template["index"] == 0
    assert template["face"]["quality"]["acceptable"]
    assert template["face"]["box"]["width"] == pytest.approx(160, rel=0.1)
    subject = (await admin.client.get("/collections/default/subjects/ada")).json()
    assert (subject["name"], subject["metadata"], subject["templates"]) == ("Ada Acker", {"team": 7}, 1)


async def test_a_face_is_found_by_the_search_that_starts_after_its_registration(admin: Account) -> None:
    for seed in range(4):
        await admin.register(f"p{seed}", pictures.photo(seed))
        found = (await admin.send("/recognize", pictures.photo(seed, take=2))).json()
        assert found["faces"][0]["candidates"][0]["subject"] == f"p{seed}"


async def test_more_images_of_a_known_subject_add_templates(ada: Account) -> None:
    answer = await ada.register("ada", pictures.photo(1, take=1), pictures.photo(1, take=2))
    assert [template["index"] for template in answer.json()["templates"]] == [0, 1]
    subject = (await ada.client.get("/collections/default/subjects/ada")).json()
    assert subject["templates"] == 3
    assert subject["name"] == "Ada Acker"


async def test_images_that_cannot_be_used_are_reported_beside_the_others(admin: Account) -> None:
    images = [pictures.photo(1), pictures.landscape(), pictures.group(2, 3), b"no image", pictures.photo(1, take=1)]
    answer = await admin.register("ada", *images)
    assert answer.status_code == 201
    assert [template["index"] for template in answer.json()["templates"]] == [0, 4]
    refused = {item["index"]: item["code"] for item in answer.json()["refused"]}
    assert refused == {1: "no_face", 2: "several_faces", 3: "image_unreadable"}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (pictures.landscape, "422 no_face"),
        (lambda: pictures.group(1, 2), "422 several_faces"),
        (lambda: pictures.small(1), "422 face_too_small"),
        (lambda: pictures.blurred(1), "422 face_blurred"),
        (lambda: pictures.dark(1), "422 face_too_dark"),
        (lambda: b"", "422 image_empty"),
        (lambda: b"not an image", "422 image_unreadable"),
        (lambda: pictures.photo(1)[:3000], "422 image_truncated"),
        (pictures.bomb, "422 image_too_many_pixels"),
        (lambda: pictures.animation("PNG"), "422 image_animated"),
        (lambda: pictures.photo(1) + bytes(2 * 1024 * 1024), "413 image_too_large"),
    ],
)
async def test_a_single_image_that_cannot_be_used_is_the_answer(
    admin: Account, database: Database, image: object, expected: str
) -> None:
    answer = await admin.register("ada", image())  # type: ignore[operator]
    assert problem(answer) == expected, answer.text
    assert problem(await admin.client.get("/collections/default/subjects/ada")) == "404 subject_not_found"


async def test_when_no_image_of_several_can_be_used_nothing_is_written(admin: Account) -> None:
    answer = await admin.register("ada", pictures.landscape(), pictures.group(1, 2))
    assert problem(answer) == "422 no_image_accepted"
    assert [error["code"] for error in answer.json()["errors"]] == ["no_face", "several_faces"]
    assert problem(await admin.client.get("/collections/default/subjects/ada")) == "404 subject_not_found"


async def test_the_largest_of_several_faces_can_be_asked_for(admin: Account) -> None:
    answer = await admin.register("ada", pictures.group(1, 2), face="largest")
    assert answer.status_code == 201
    assert len(answer.json()["templates"]) == 1


@pytest.mark.parametrize(
    ("fields", "expected", "field"),
    [
        ({"metadata": "{"}, "422 invalid_metadata", "metadata"),
        ({"metadata": "[1]"}, "422 invalid_metadata", "metadata"),
        ({"metadata": '{"a": "\\u0000"}'}, "422 invalid_metadata", "metadata"),
        ({"subject": "a/b"}, "422 invalid_parameter", "subject"),
        ({"subject": ""}, "422 invalid_parameter", "subject"),
        ({"name": "x" * 201}, "422 invalid_parameter", "name"),
        ({"name": "a\0b"}, "422 invalid_parameter", "name"),
        ({"collection": "../etc"}, "422 invalid_parameter", "collection"),
        ({"face": "prettiest"}, "422 invalid_parameter", "face"),
    ],
)
async def test_a_bad_field_is_named(admin: Account, fields: dict[str, str], expected: str, field: str) -> None:
    files = [("images", ("a.jpg", pictures.photo(1), "image/jpeg"))]
    answer = await admin.client.post("/register", data={"subject": "ada", **fields}, files=files)
    assert problem(answer) == expected
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_unknown_collection_is_404_and_nothing_is_created(admin: Account) -> None:
    assert problem(await admin.register("ada", pictures.photo(1), collection="nope")) == "404 collection_not_found"
    assert problem(await admin.client.get("/collections/nope")) == "404 collection_not_found"


async def test_the_same_subject_in_another_tenant_is_another_person(ada: Account, stranger: Account) -> None:
    assert (await stranger.register("ada", pictures.photo(2), name="Somebody else")).status_code == 201
    assert (await ada.client.get("/collections/default/subjects/ada")).json()["name"] == "Ada Acker"


async def test_parallel_registrations_of_one_new_subject_make_one_subject(admin: Account) -> None:
    answers = await asyncio.gather(*(admin.register("ada", pictures.photo(1, take)) for take in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    subject = (await admin.client.get("/collections/default/subjects/ada")).json()
    assert subject["templates"] == 6


async def test_registering_into_a_collection_while_it_is_deleted_never_fails_halfway(
    admin: Account, database: Database
) -> None:
    for _ in range(5):
        await admin.client.post("/collections", json={"name": "fleeting"})
        registered, _deleted = await asyncio.gather(
            admin.register("ada", pictures.photo(1), collection="fleeting"),
            admin.client.delete("/collections/fleeting"),
        )
        assert registered.status_code in (201, 404), registered.text
        async with database.transaction(as_operator=True) as session:
            orphans = await session.scalar(
                text(
                    "SELECT count(*) FROM templates t LEFT JOIN collections c ON c.id = t.collection_id "
                    "WHERE c.id IS NULL"
                )
            )
        assert orphans == 0


async def test_photos_are_never_stored(ada: Account, database: Database) -> None:
    image = pictures.photo(1)
    async with database.transaction(as_operator=True) as session:
        for table in ("templates", "subjects"):
            for row in await session.execute(text(f"SELECT {table}::text FROM {table}")):
                assert image[:8].hex() not in row[0]


async def test_everybody_in_a_photo_is_stored_without_a_name(admin: Account) -> None:
    answer = await admin.send("/register/all", pictures.group(1, 2, 3), external_image_id="party 1")
    assert answer.status_code == 201
    stored = answer.json()["stored"]
    assert len(stored) == 3
    assert {one["subject"] for one in stored} == {f"face@{one['face_id']}" for one in stored}
    found = (await admin.send("/recognize", pictures.photo(2, 1))).json()["faces"][0]["candidates"]
    assert found[0]["subject"] in {one["subject"] for one in stored}
    assert found[0]["decision"] == "match"
    again = (await admin.send("/register/all", pictures.group(1, 2, 3), external_image_id="party 1")).json()
    assert sorted(one["face_id"] for one in again["stored"]) == sorted(one["face_id"] for one in stored)
    for body, stored_faces, reasons in (
        (await admin.send("/register/all", pictures.group(1, 2, 3), limit="1"), 1, [[], []]),
        (await admin.send("/register/all", pictures.small(1)), 0, [["too_small"]]),
        (await admin.send("/register/all", pictures.small(1), quality="none"), 1, []),
        (await admin.send("/register/all", pictures.landscape()), 0, []),
    ):
        assert len(body.json()["stored"]) == stored_faces
        assert [one["reasons"] for one in body.json()["skipped"]] == reasons
    assert problem(await admin.send("/register/all", pictures.photo(1), limit="101")) == "422 invalid_parameter"


async def test_who_was_erased_is_in_no_answer_given_again(admin: Account) -> None:
    async def store(key: str) -> httpx.Response:
        files = {"image": ("photo.jpg", pictures.group(1, 2), "image/jpeg")}
        return await admin.client.post("/register/all", files=files, headers={"idempotency-key": key})

    first = await store("one")
    again = await store("one")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    somebody = first.json()["stored"][0]["subject"]
    assert (await admin.client.delete(f"/collections/default/subjects/{somebody}")).status_code == 200
    assert problem(await store("one")) == "410 idempotent_answer_erased"


@contextmanager
def noted_statements(running: Running) -> Iterator[dict[int, list[str]]]:
    """Note the statements of every connection that a transaction takes from the pool during the block."""
    statements: dict[int, list[str]] = {}
    noted: list[tuple[Any, Any]] = []

    def watch(connection: Any, _: object, __: object) -> None:
        driver = connection.driver_connection

        def note(query: Any) -> None:
            statements.setdefault(id(driver), []).append(query.query)

        driver.add_query_logger(note)
        noted.append((driver, note))

    engine = running.state.database.engine.sync_engine
    event.listen(engine, "checkout", watch)
    try:
        yield statements
    finally:
        event.remove(engine, "checkout", watch)
        for driver, note in noted:
            driver.remove_query_logger(note)


async def test_a_registration_takes_five_statements(ada: Account, running: Running) -> None:
    for subject, take in (("bob", 1), ("bob", 2), ("ada", 3)):
        with noted_statements(running) as statements:
            assert (await ada.register(subject, pictures.photo(2, take=take))).status_code == 201
        (noted,) = [each for each in statements.values() if any("begin_registration" in one for one in each)]
        begun, ended = noted.index("BEGIN;"), noted.index("COMMIT;")
        assert ended - begun - 1 <= 5, noted
