"""Faces with templates of two recognizers, under concurrency, paging and restored backups."""

import asyncio
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import text

from app.domain.faces import RelativeBox
from app.domain.people import FaceOrigin
from app.errors import AppError
from app.persistence.repositories.collection_faces import CollectionFaceRepository, FaceFilter
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.recognizers import RecognizerRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateRepository, TemplateStore
from app.services.people.consent import ConsentGate
from app.services.people.template_completion import TemplateCompletion
from tests.integration.conftest import FACE, PROTECTOR, Shelf, random_embeddings

A, B = "a:1", "b:2"
"""Two recognizers, in the order in which their galleries are locked."""


async def register(shelf: Shelf, subject: str, *recognizers: str) -> UUID:
    """Store a face of a subject, as the services do; its id."""
    made = dict(zip(recognizers, random_embeddings(np.random.default_rng(), len(recognizers)), strict=True))
    async with shelf.database.transaction(shelf.tenant_id) as session:
        subjects = SubjectRepository(session, shelf.tenant_id)
        subject_id = await subjects.upsert(shelf.collection_id, subject, None, None)
        new = NewFace.of(subject_id, FACE, made, FaceOrigin(uuid4(), RelativeBox(0.1, 0.1, 0.5, 0.5)))
        store = TemplateStore(session, shelf.tenant_id, PROTECTOR)
        await store.add_all([new], collection_id=shelf.collection_id, source="test")
    shelf.ids[subject] = subject_id
    return new.id


async def complete(shelf: Shelf, subject: str, face_id: UUID, recognizer: str) -> int:
    (made,) = random_embeddings(np.random.default_rng(), 1)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        subjects = SubjectRepository(session, shelf.tenant_id)
        consent = ConsentGate(subjects, PolicyRepository(session, shelf.tenant_id))
        completion = TemplateCompletion(subjects, TemplateStore(session, shelf.tenant_id, PROTECTOR), consent)
        done = await completion.add(
            shelf.collection_id, [shelf.ids[subject]], {face_id: {recognizer: made}}, source="test"
        )
        return done.faces


async def erase(shelf: Shelf, subject: str) -> None:
    async with shelf.database.transaction(shelf.tenant_id) as session:
        await SubjectRepository(session, shelf.tenant_id).delete(shelf.collection_id, subject)


async def count(shelf: Shelf, subject: str) -> tuple[int, int]:
    """Faces and templates of a subject."""
    async with shelf.database.transaction(shelf.tenant_id) as session:
        faces = await TemplateRepository(session, shelf.tenant_id).count(shelf.ids[subject])
        exported = await TemplateStore(session, shelf.tenant_id, PROTECTOR).export(shelf.ids[subject])
    return faces, len(exported)


async def test_a_face_is_completed_once_and_not_after_it_is_gone(shelf: Shelf) -> None:
    face_id = await register(shelf, "ada", A)
    assert await complete(shelf, "ada", face_id, B) == 1
    assert await complete(shelf, "ada", face_id, B) == 0
    assert await count(shelf, "ada") == (1, 2)
    assert await complete(shelf, "ada", uuid4(), B) == 0
    await erase(shelf, "ada")
    assert await complete(shelf, "ada", face_id, A) == 0


async def test_who_stores_with_two_waits_for_nobody_who_touches_one(shelf: Shelf) -> None:
    """Each of these took the tenant's usage and another gallery in an order of its own once."""
    old = {f"old{number}": await register(shelf, f"old{number}", A) for number in range(20)}
    for number in range(20):
        await register(shelf, f"gone{number}", B)

    async def in_turn(work: list[object]) -> None:
        for one in work:
            await one  # type: ignore[misc]

    await asyncio.gather(
        *(in_turn([register(shelf, f"new{lane}-{number}", A, B) for number in range(10)]) for lane in range(2)),
        in_turn([complete(shelf, subject, face_id, B) for subject, face_id in old.items()]),
        in_turn([erase(shelf, f"gone{number}") for number in range(20)]),
    )
    assert {await count(shelf, subject) for subject in shelf.ids if subject.startswith(("new", "old"))} == {(1, 2)}


@pytest.mark.parametrize("goes_back", [False, True])
async def test_no_face_is_missed_in_a_list_while_faces_are_completed(shelf: Shelf, goes_back: bool) -> None:
    for _ in range(4):  # galleries' ids are random
        tag = uuid4().hex[:6]
        if goes_back:  # to a recognizer whose gallery is the older one
            await register(shelf, f"{tag}-before", f"y{tag}:1")
        faces = {f"{tag}-{number}": await register(shelf, f"{tag}-{number}", f"x{tag}:1") for number in range(6)}
        seen: list[UUID] = []
        after = None
        while True:
            async with shelf.database.transaction(shelf.tenant_id) as session:
                rows = CollectionFaceRepository(session, shelf.tenant_id)
                filters = FaceFilter(ids=list(faces.values()))
                page = await rows.list_page(shelf.collection_id, after, 2, filters)
            if not page:
                break
            seen += [one.face.id for one in page]
            after = (page[-1].gallery_id, page[-1].seq)
            for subject, face_id in faces.items():
                await complete(shelf, subject, face_id, f"y{tag}:1")
        assert sorted(seen) == sorted(faces.values())


async def test_erasing_a_recognizer_waits_for_nobody_who_erases_people(shelf: Shelf) -> None:
    people = [f"p{number}" for number in range(30)]
    for subject in people:
        await register(shelf, subject, A, B)

    async def erase_recognizer() -> None:
        async with shelf.database.transaction(shelf.tenant_id) as session:
            await RecognizerRepository(session, shelf.tenant_id).delete(shelf.collection_id, B)

    async def withdraw(subject: str) -> None:
        async with shelf.database.transaction(shelf.tenant_id) as session:
            await SubjectRepository(session, shelf.tenant_id).lock([shelf.ids[subject]])
            await TemplateRepository(session, shelf.tenant_id).delete_all(shelf.ids[subject])

    await asyncio.gather(
        erase_recognizer(),
        *(erase(shelf, subject) for subject in people[::2]),
        *(withdraw(subject) for subject in people[1::2]),
    )
    assert {await count(shelf, subject) for subject in people} == {(0, 0)}


async def test_what_was_moved_is_still_known_to_be_when_its_first_template_is_gone(
    shelf: Shelf,
) -> None:
    face_id = await register(shelf, "ada", A)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        faces = CollectionFaceRepository(session, shelf.tenant_id)
        bob = await SubjectRepository(session, shelf.tenant_id).upsert(shelf.collection_id, "bob", None, None)
        shelf.ids["bob"] = bob
        held = await faces.find_by_ids(shelf.collection_id, [face_id], {shelf.ids["ada"]})
        await faces.assign(list(held.values()), {face_id: bob})
    assert await complete(shelf, "bob", face_id, B) == 1
    async with shelf.database.transaction(shelf.tenant_id) as session:
        noted = text("SELECT subject_id, moved_at FROM templates WHERE id = :id")
        rows = (await session.execute(noted, {"id": face_id})).all()
    assert len(rows) == 2
    assert len(set(rows)) == 1  # both say when
    assert rows[0].moved_at is not None


async def test_what_nobody_agreed_to_is_left_out(shelf: Shelf) -> None:
    face_id = await register(shelf, "ada", A)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        subjects = SubjectRepository(session, shelf.tenant_id)
        await subjects.record_consent(shelf.ids["ada"], "form 1", "user:1")
        await subjects.withdraw_consent(shelf.ids["ada"])
    with pytest.raises(AppError, match="withdrew"):
        await complete(shelf, "ada", face_id, B)
