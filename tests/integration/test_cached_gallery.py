"""Searching a gallery that is in memory as a whole: against the exact search, and never with what is no longer so."""

from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.decisions import Candidate
from app.domain.faces import Embedding
from app.matcher.engine import SearchEngine
from app.matcher.search import Gallery
from app.matcher.tenant_search import TenantSearch
from app.persistence.connections.database import Database
from app.persistence.repositories.subjects import SubjectRepository
from tests.integration.conftest import SearchDatabase, Shelf, make_engine, near, random_embeddings, subjects

WHOLE_TO = 400


@pytest.fixture
async def engine(search_database: SearchDatabase) -> AsyncIterator[SearchEngine]:
    engine = make_engine(search_database.service, cache_bytes=2**28, max_whole_templates=WHOLE_TO)
    yield engine
    await engine.close()


async def search_whole(shelf: Shelf, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]] | None:
    found = await shelf.search.identify_in_memory(shelf.gallery(), probes, limit)
    return found.ranked if found is not None else None


async def load(shelf: Shelf) -> None:
    """A search in the database makes the cache load."""
    await shelf.ranked(shelf.gallery(), [shelf.stored[0].embedding], 1)
    await shelf.engine.cache.wait_until_loaded()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(1, 60),
    templates=st.integers(1, 120),
    copies=st.integers(0, 8),
    newer=st.integers(0, 5),
    limit=st.sampled_from((1, 3, 20, 100)),
)
async def test_it_agrees_with_exact_search(
    search_service: Database,
    engine: SearchEngine,
    seed: int,
    people: int,
    templates: int,
    copies: int,
    newer: int,
    limit: int,
) -> None:
    """Whatever the gallery: many templates a person or one, faces stored twice, some stored after the first load."""
    rng = np.random.default_rng(seed)
    shelf = await Shelf.make(search_service, engine)
    faces = random_embeddings(rng, people)
    owners = rng.integers(0, people, templates)
    pairs = [(f"p{owner}", near(faces[owner], rng, 0.7)) for owner in owners]
    pairs += [(f"twin{index}", pairs[0][1]) for index in range(copies)]
    await shelf.put(*pairs)
    probes = [near(faces[index], rng, 0.6) for index in rng.integers(0, people, 3)] + [pairs[0][1]]
    assert await search_whole(shelf, probes, limit) is None
    await load(shelf)
    if newer:
        await shelf.put(*((f"new{index}", near(faces[0], rng, 0.8)) for index in range(newer)))
        assert await search_whole(shelf, probes, limit) is None
        await load(shelf)
    found = await search_whole(shelf, probes, limit)
    assert found is not None
    for ours, exact in zip(found, await shelf.oracle.search(shelf.gallery(), probes, limit), strict=True):
        assert [c.similarity for c in ours] == pytest.approx([c.similarity for c in exact], abs=5e-4)
        twins = {c.subject: c for c in exact}
        assert len(twins.keys() & set(subjects(ours))) >= len(ours) - 1  # half precision may swap the last place
        for candidate in ours:
            if candidate.subject in twins:
                twin = twins[candidate.subject]
                assert candidate.subject_similarity == pytest.approx(twin.subject_similarity, abs=5e-3)
                assert candidate.name == twin.name
    whom = await shelf.ranked(shelf.gallery(), probes, limit)
    assert [subjects(own) for own in found] == [subjects(own) for own in whom]


async def test_an_erased_subject_is_gone_at_once(shelf: Shelf) -> None:
    rng = np.random.default_rng(1)
    (face,) = random_embeddings(rng, 1)
    await shelf.put(*((f"p{index}", near(face, rng, 0.9)) for index in range(5)))
    await load(shelf)
    found = await search_whole(shelf, [face], 1)
    assert found is not None
    best = found[0][0].subject
    await shelf.erase(best)
    assert await search_whole(shelf, [face], 1) is None
    (candidates,) = await shelf.ranked(shelf.gallery(), [face], 5)
    assert best not in subjects(candidates)
    assert len(candidates) == 4


async def test_a_new_name_is_answered_at_once(shelf: Shelf) -> None:
    (face,) = random_embeddings(np.random.default_rng(2), 1)
    await shelf.put(("p", face))
    await load(shelf)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        await SubjectRepository(session, shelf.tenant_id).upsert(shelf.collection_id, "p", "Another Name", None)
    found = await search_whole(shelf, [face], 1)
    assert found is not None
    assert found[0][0].name == "Another Name"


async def test_nobody_is_asked_in_another_tenants_name(shelf: Shelf, engine: SearchEngine) -> None:
    (face,) = random_embeddings(np.random.default_rng(3), 1)
    await shelf.put(("p", face))
    await load(shelf)
    assert await search_whole(shelf, [face], 1) is not None
    assert await TenantSearch(engine, uuid4()).identify_in_memory(shelf.gallery(), [face], 1) is None
    assert await shelf.search.identify_in_memory(shelf.gallery("rec:2"), [face], 1) is None
    assert await shelf.search.identify_in_memory(Gallery(uuid4(), "rec:1"), [face], 1) is None


async def test_what_grows_beyond_the_limit_is_held_by_its_codes(shelf: Shelf) -> None:
    rng = np.random.default_rng(4)
    faces = random_embeddings(rng, WHOLE_TO + 1)
    await shelf.put(*((f"p{index}", face) for index, face in enumerate(faces[:WHOLE_TO])))
    await load(shelf)
    assert await search_whole(shelf, [faces[0]], 1) is not None
    await shelf.put(("last", faces[WHOLE_TO]))
    assert await search_whole(shelf, [faces[0]], 1) is None
    for _ in range(2):
        (candidates,) = await shelf.ranked(shelf.gallery(), [faces[WHOLE_TO]], 1)
        assert subjects(candidates) == ["last"]
        await shelf.engine.cache.wait_until_loaded()
    assert await search_whole(shelf, [faces[0]], 1) is None


async def test_a_gallery_in_use_does_not_go_for_another(
    search_service: Database, search_database: SearchDatabase
) -> None:
    """Half of the 3 MB hold two of these galleries; the third is searched in the database."""
    engine = make_engine(search_database.service, cache_bytes=3 * 2**20, max_whole_templates=WHOLE_TO)
    rng = np.random.default_rng(5)
    shelves = [await Shelf.make(search_service, engine) for _ in range(3)]
    for shelf in shelves:
        await shelf.put(*((f"p{index}", face) for index, face in enumerate(random_embeddings(rng, 380))))
        await load(shelf)
    held = [await search_whole(shelf, [shelf.stored[0].embedding], 1) is not None for shelf in shelves]
    assert held == [True, True, False]
    (candidates,) = await shelves[2].ranked(shelves[2].gallery(), [shelves[2].stored[7].embedding], 1)
    assert subjects(candidates) == ["p7"]
    await engine.close()


async def test_many_probes_are_searched_in_parts(shelf: Shelf) -> None:
    faces = random_embeddings(np.random.default_rng(6), 150)
    await shelf.put(*((f"p{index}", face) for index, face in enumerate(faces)))
    await load(shelf)
    found = await search_whole(shelf, faces, 1)
    assert found is not None
    assert [own[0].subject for own in found] == [f"p{index}" for index in range(150)]
