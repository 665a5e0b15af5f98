"""Searching for single faces and for known subjects, against the whole of it compared in memory."""

import asyncio
from uuid import UUID, uuid4

import numpy as np
import pytest

from app.domain.faces import Embedding
from app.matcher.engine import SearchEngine
from app.matcher.strategy import code_depth
from app.matcher.subject_similarity import common_embedding
from app.matcher.tenant_search import TenantSearch
from app.persistence.connections.database import Database
from app.persistence.erasure_journal import ErasedKind, ErasureJournal
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.services.people.rules import anonymous_name
from tests.exact_search import StoredTemplate
from tests.integration.conftest import FACE, PROTECTOR, SearchDatabase, Shelf, make_engine, near, random_embeddings


def face_search(shelf: Shelf, engine: SearchEngine | None = None) -> TenantSearch:
    return TenantSearch(engine or shelf.engine, shelf.tenant_id)


async def filled(shelf: Shelf, people: int, each: int, seed: int = 1) -> list[Embedding]:
    """Subjects p0, p1 ... with so many faces each; the first face of each is given back."""
    rng = np.random.default_rng(seed)
    firsts = random_embeddings(rng, people)
    await shelf.put(
        *[
            (f"p{number}", face)
            for number, first in enumerate(firsts)
            for face in (first, *(near(first, rng, 0.7) for _ in range(each - 1)))
        ]
    )
    return firsts


async def give(shelf: Shelf, face: StoredTemplate, to: UUID) -> None:
    """Give a face to another subject, as the services do."""
    async with shelf.database.transaction(shelf.tenant_id) as session:
        faces = CollectionFaceRepository(session, shelf.tenant_id)
        (held,) = (await faces.find_by_ids(shelf.collection_id, [face.id], {face.subject_id})).values()
        await faces.assign([held], {face.id: to})


async def make_anonymous(shelf: Shelf, subject: str) -> None:
    """Give each face of a subject to an anonymous one of its own."""
    for face in [stored for stored in shelf.stored if stored.subject == subject]:
        owner = uuid4()
        async with shelf.database.transaction(shelf.tenant_id) as session:
            await SubjectRepository(session, shelf.tenant_id).add_anonymous(
                shelf.collection_id, {owner: anonymous_name(face.id)}
            )
        await give(shelf, face, owner)


ROUNDING = 1e-3  # of half precision, after the rotation that protects what is stored


def expected_similarities(shelf: Shelf, probe: Embedding, min_similarity: float, limit: int) -> list[float]:
    rated = sorted((float(stored.embedding @ probe) for stored in shelf.stored), reverse=True)
    return [similarity for similarity in rated if similarity >= min_similarity][:limit]


@pytest.mark.parametrize(("people", "each"), [(10, 2), (60, 3), (200, 2)])
@pytest.mark.parametrize("is_loaded", [False, True])
async def test_every_face_above_the_least_similarity_is_found(
    shelf: Shelf, people: int, each: int, is_loaded: bool
) -> None:
    firsts = await filled(shelf, people, each)
    if is_loaded:
        await shelf.load_cache(firsts[0])
    search, rng = face_search(shelf), np.random.default_rng(3)
    for first in firsts[:5]:
        probe = near(first, rng, 0.8)
        for min_similarity, limit in ((0.3, 10), (0.3, 1), (-1.0, 7), (0.9, 5), (-1.0, 4096)):
            found = await search.faces_like(shelf.gallery(), probe, limit, min_similarity)
            similarities, expected = (
                [one.similarity for one in found],
                expected_similarities(shelf, probe, min_similarity, limit),
            )
            assert len(similarities) == len(expected)
            # Codes keep who is similar. Which strangers come after them, of hundreds that are equally unlike, they may
            # get wrong, as the tenant's rotation has it; compared whole, or asked for all, there is no such choice.
            is_whole = code_depth(people * each, 0).by_product >= people * each or limit > people * each
            promised = expected if is_whole else [similarity for similarity in expected if similarity >= 0.3]
            assert similarities[: len(promised)] == pytest.approx(promised, abs=ROUNDING)
            assert similarities == sorted(similarities, reverse=True)
            assert len({one.face.id for one in found}) == len(found)
            embeddings = {stored.id: stored.embedding for stored in shelf.stored}
            assert [float(embeddings[one.face.id] @ probe) for one in found] == pytest.approx(
                similarities, abs=ROUNDING
            )
            assert all(one.face.subject is not None for one in found)


async def test_more_than_a_first_look_are_found_where_so_many_are_similar(shelf: Shelf) -> None:
    (face,) = random_embeddings(np.random.default_rng(4), 1)
    rng = np.random.default_rng(5)
    await shelf.put(*[(f"twin{number}", near(face, rng, 0.9)) for number in range(130)])
    found = await face_search(shelf).faces_like(shelf.gallery(), face, 4096, 0.5)
    assert len(found) == 130
    assert len(await face_search(shelf).faces_like(shelf.gallery(), face, 120, 0.5)) == 120


async def test_a_stored_face_finds_others_also_its_equals_but_not_itself(shelf: Shelf) -> None:
    (face,) = random_embeddings(np.random.default_rng(6), 1)
    await shelf.put(("a", face), ("b", face), ("c", face))
    own = shelf.stored[1]
    found = await face_search(shelf).faces_like_face(shelf.gallery(), own.id, 10, 0.9)
    assert found is not None
    assert [one.face.id for one in found] == [shelf.stored[0].id, shelf.stored[2].id]
    assert await face_search(shelf).faces_like_face(shelf.gallery(), uuid4(), 10, 0.9) is None


async def test_known_subjects_are_ranked_by_what_their_faces_have_in_common(shelf: Shelf) -> None:
    firsts = await filled(shelf, 30, 4)
    await make_anonymous(shelf, "p3")
    probe = near(firsts[2], np.random.default_rng(7), 0.8)
    found = await face_search(shelf).named_subjects_like(shelf.gallery(), probe, 500, -1.0)
    expected = sorted(
        (
            (float(probe @ common_embedding([one.embedding for one in shelf.stored if one.subject == name])), name)
            for name in {stored.subject for stored in shelf.stored} - {"p3"}
        ),
        reverse=True,
    )
    assert [one.subject for one in found] == [name for _, name in expected]
    assert [one.similarity for one in found] == pytest.approx([similarity for similarity, _ in expected], abs=1e-3)
    anonymous = near(firsts[3], np.random.default_rng(8), 0.9)
    assert await face_search(shelf).named_subjects_like(shelf.gallery(), anonymous, 10, 0.4) == []
    faces = await face_search(shelf).faces_like(shelf.gallery(), anonymous, 10, 0.4)
    assert {one.face.subject for one in faces} == {None}


async def test_known_subjects_are_found_among_however_many_faces_of_nobody_known(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.matcher.open_gallery._MAX_SUBJECTS_BY_FACES", 150)
    monkeypatch.setattr("app.matcher.open_gallery._FIRST_LIMIT", 20)
    rng = np.random.default_rng(9)
    (ada,) = random_embeddings(rng, 1)
    await shelf.put(("ada", near(ada, rng, 0.6)))
    owners = {uuid4(): near(ada, rng, 0.95) for _ in range(200)}
    async with shelf.database.transaction(shelf.tenant_id) as session:
        names = {owner: anonymous_name(owner) for owner in owners}
        await SubjectRepository(session, shelf.tenant_id).add_anonymous(shelf.collection_id, names)
        new = [NewFace.of(owner, FACE, {"rec:1": embedding}) for owner, embedding in owners.items()]
        store = TemplateStore(session, shelf.tenant_id, PROTECTOR)
        await store.add_all(new, collection_id=shelf.collection_id, source="test")
    for min_similarity in (-1.0, 0.3):
        found = await face_search(shelf).named_subjects_like(shelf.gallery(), ada, 5, min_similarity)
        assert [one.subject for one in found] == ["ada"]


@pytest.mark.parametrize("max_whole_templates", [0, 1000])
async def test_a_face_that_is_given_away_is_found_with_its_new_owner_at_once(
    search_service: Database, search_database: SearchDatabase, max_whole_templates: int
) -> None:
    """Also by searches that hold the gallery in memory."""
    engine = make_engine(search_database.service, cache_bytes=2**22, max_whole_templates=max_whole_templates)
    try:
        shelf = await Shelf.make(search_service, engine)
        firsts = await filled(shelf, 80, 1)
        await shelf.load_cache(firsts[0])
        for round_ in range(3):
            receiver = f"p{70 + round_}"
            await give(shelf, shelf.stored[round_], shelf.ids[receiver])
            (native,) = await shelf.ranked(shelf.gallery(), [firsts[round_]], 1)
            assert native[0].subject == receiver
            cached = await shelf.search.identify_in_memory(shelf.gallery(), [firsts[round_]], 1)
            assert cached is None or cached.ranked[0][0].subject == receiver
            (face,) = await face_search(shelf).faces_like(shelf.gallery(), firsts[round_], 1, 0.9)
            assert (face.face.id, face.face.subject) == (shelf.stored[round_].id, receiver)
            await engine.cache.wait_until_loaded()
    finally:
        await engine.close()


async def test_giving_faces_does_not_end_the_epoch_of_a_gallery(shelf: Shelf) -> None:
    await filled(shelf, 5, 1)

    async def facts() -> tuple[int, int, int, int]:
        from app.matcher.pgvector_search import GalleryStatements

        async with shelf.engine.snapshots.snapshot(shelf.tenant_id) as connection:
            found = await GalleryStatements(connection, shelf.tenant_id).read_facts(shelf.gallery())
        assert found is not None
        return found.epoch, found.deletions, found.last_seq, found.templates

    before = await facts()
    await give(shelf, shelf.stored[0], shelf.ids["p1"])
    after = await facts()
    assert after == (before[0], before[1] + 1, before[2] + 1, before[3])


async def test_faces_are_given_and_taken_by_many_at_once_without_losing_any(shelf: Shelf) -> None:
    await filled(shelf, 12, 1)

    async def move(number: int) -> None:
        await give(shelf, shelf.stored[number], shelf.ids[f"p{(number + 1) % 12}"])

    await asyncio.gather(*(move(number) for number in range(12)))
    found = await face_search(shelf).faces_like(shelf.gallery(), shelf.stored[0].embedding, 100, -1.0)
    assert len(found) == 12
    assert {one.face.id: one.face.subject for one in found} == {
        stored.id: f"p{(number + 1) % 12}" for number, stored in enumerate(shelf.stored)
    }


async def test_erasing_somebody_names_the_faces_that_were_given_to_them(
    search_service: Database, search_database: SearchDatabase, shelf: Shelf, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An older backup holds them under another subject."""
    await filled(shelf, 2, 1)
    await give(shelf, shelf.stored[0], shelf.ids["p1"])
    journal = ErasureJournal(tmp_path_factory.mktemp("journal") / "erasures.jsonl")
    database = Database(search_database.service, pool_size=1, journal=journal)
    async with database.transaction(shelf.tenant_id) as session:
        await SubjectRepository(session, shelf.tenant_id).delete(shelf.collection_id, "p1")
    await database.close()
    noted = {(erased.kind, erased.id) for erased in journal.read(0).entries}
    assert noted == {(ErasedKind.FACE, shelf.stored[0].id), (ErasedKind.SUBJECT, shelf.ids["p1"])}
