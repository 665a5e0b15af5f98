"""Search in PostgreSQL by every strategy against the exact search in memory, and what it must never return."""

import asyncio
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.decisions import Candidate
from app.domain.faces import Embedding
from app.matcher.engine import SearchEngine
from app.matcher.hnsw.recall import MIN_MATE_SIMILARITY
from app.matcher.search import Gallery
from app.matcher.strategy import Strategy
from app.matcher.tenant_search import TenantSearch
from app.persistence.connections.database import Database
from app.persistence.repositories.graphs import GraphDirectory
from app.services.maintenance.search_indexes import SearchIndexService
from tests.integration.conftest import (
    LIMITS,
    SearchDatabase,
    Shelf,
    make_engine,
    near,
    random_embeddings,
    record_of,
    subjects,
)
from tests.integration.test_isolation import has_pgbouncer, pgbouncer

ROUNDING = 5e-4  # of a probe at half precision

STRATEGIES = list(Strategy)


async def build_graph(graphs: GraphDirectory, shelf: Shelf) -> None:
    service = SearchIndexService(graphs, shelf.engine, graph_from=1, monitor_probes=3)
    await service.rebuild(await record_of(graphs, shelf))


async def prepare(strategy: Strategy, graphs: GraphDirectory, shelf: Shelf) -> None:
    if strategy is Strategy.GRAPH:
        await build_graph(graphs, shelf)
    if strategy is Strategy.CACHED_CODES:
        await shelf.load_cache(shelf.stored[0].embedding)


def assert_same(ours: list[Candidate], exact: list[Candidate]) -> None:
    assert len(ours) == len(exact)
    assert [c.similarity for c in ours] == pytest.approx([c.similarity for c in exact], abs=ROUNDING)
    by_subject = {c.subject: c for c in exact}
    for candidate in ours:
        # Where half precision cannot tell two subjects apart, their order may differ; nobody may be missing.
        twin = by_subject.get(candidate.subject)
        similarity = twin.similarity if twin else exact[-1].similarity
        assert candidate.similarity == pytest.approx(similarity, abs=ROUNDING)
        if twin:
            assert candidate.subject_similarity == pytest.approx(twin.subject_similarity, abs=5e-3)
            assert candidate.name == twin.name


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(1, 90),
    templates=st.integers(1, 150),
    newer=st.integers(0, 30),
    erased=st.integers(0, 10),
    limit=st.sampled_from((1, 3, 20, 100)),
)
async def test_every_strategy_agrees_with_exact_search(
    search_service: Database,
    graphs: GraphDirectory,
    engine: SearchEngine,
    seed: int,
    people: int,
    templates: int,
    newer: int,
    erased: int,
    limit: int,
) -> None:
    """Whatever the gallery: many templates a person or one, some stored and some erased since cache and graph."""
    rng = np.random.default_rng(seed)
    shelf = await Shelf.make(search_service, engine)
    faces = random_embeddings(rng, people)

    def photos(count: int) -> list[tuple[str, Embedding]]:
        return [(f"s{who:03d}", near(faces[who], rng, rng.uniform(0.6, 1))) for who in rng.integers(people, size=count)]

    await shelf.put(*photos(templates))
    for strategy in (Strategy.GRAPH, Strategy.CACHED_CODES):
        await prepare(strategy, graphs, shelf)
    if newer:
        await shelf.put(*photos(newer))
    for subject in sorted({stored.subject for stored in shelf.stored})[1 : 1 + erased]:
        await shelf.erase(subject)
    probes = [near(face, rng, rng.uniform(0.3, 0.9)) for face in faces[:3]] + random_embeddings(rng, 2)
    expected = await shelf.oracle.search(shelf.gallery(), probes, limit)
    for strategy in STRATEGIES:
        found = await shelf.ranked(shelf.gallery(), probes, limit, using=strategy)
        for ours, exact in zip(found, expected, strict=True):
            if strategy is Strategy.GRAPH:  # which may lose strangers, but neither a match nor a row
                assert len(ours) == len(exact)
                matches = sum(candidate.similarity >= MIN_MATE_SIMILARITY for candidate in exact)
                assert_same(ours[:matches], exact[:matches])
            else:
                assert_same(ours, exact)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_search_never_mixes_recognizers(shelf: Shelf, graphs: GraphDirectory, strategy: Strategy) -> None:
    embeddings = random_embeddings(np.random.default_rng(0), 60)
    await shelf.put(*((f"old{index}", embedding) for index, embedding in enumerate(embeddings)), recognizer="rec:1")
    await prepare(strategy, graphs, shelf)
    await shelf.put(("new", embeddings[0]), recognizer="rec:new")
    (found,) = await shelf.ranked(shelf.gallery("rec:new"), [embeddings[0]], 5, using=strategy)
    assert subjects(found) == ["new"]
    (found,) = await shelf.ranked(shelf.gallery("rec:1"), [embeddings[0]], 1, using=strategy)
    assert subjects(found) == ["old0"]
    assert await shelf.ranked(shelf.gallery("rec:none"), [embeddings[0]], 5, using=strategy) == [[]]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_another_tenants_templates_are_never_found(
    shelf: Shelf, search_service: Database, graphs: GraphDirectory, strategy: Strategy
) -> None:
    other = await Shelf.make(search_service, shelf.engine)
    embeddings = random_embeddings(np.random.default_rng(0), 60)
    await shelf.put(*((f"s{index}", embedding) for index, embedding in enumerate(embeddings)))
    await prepare(strategy, graphs, shelf)
    # The other tenant asks with the right collection id: it must not help.
    assert await other.ranked(shelf.gallery(), embeddings[:2], 5, using=strategy) == [[], []]
    assert await other.search.compare(shelf.gallery(), shelf.ids["s0"], embeddings[0]) is None
    assert await other.search.subjects_like_face(shelf.gallery(), shelf.ids["s0"], shelf.stored[0].id, 5) is None
    assert await other.search.subjects_like_subject(shelf.gallery(), shelf.ids["s0"], 5) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_an_erased_subject_is_gone_at_once_and_a_new_one_there(
    shelf: Shelf, graphs: GraphDirectory, strategy: Strategy
) -> None:
    embeddings = random_embeddings(np.random.default_rng(1), 70)
    await shelf.put(*((f"s{index}", embedding) for index, embedding in enumerate(embeddings)))
    await prepare(strategy, graphs, shelf)
    for index in (0, 41):
        (found,) = await shelf.ranked(shelf.gallery(), [embeddings[index]], 1, using=strategy)
        assert subjects(found) == [f"s{index}"]
        await shelf.erase(f"s{index}")
        (found,) = await shelf.ranked(shelf.gallery(), [embeddings[index]], 100, using=strategy)
        assert f"s{index}" not in subjects(found)
        assert len(found) == len(shelf.stored)
        await shelf.put((f"again{index}", embeddings[index]))
        (found,) = await shelf.ranked(shelf.gallery(), [embeddings[index]], 1, using=strategy)
        assert subjects(found) == [f"again{index}"]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_ties_are_ranked_by_the_subjects_id_however_many_there_are(
    shelf: Shelf, graphs: GraphDirectory, strategy: Strategy
) -> None:
    (embedding,) = random_embeddings(np.random.default_rng(0), 1)
    names = [f"{letter}{number:02d}" for number in range(100) for letter in ("b", "C", "a")]
    await shelf.put(*((name, embedding) for name in names))
    await prepare(strategy, graphs, shelf)
    for limit in (1, 3, 100):
        (found,) = await shelf.ranked(shelf.gallery(), [embedding], limit, using=strategy)
        assert subjects(found) == sorted(names)[:limit]


async def test_a_subject_with_very_many_templates_does_not_push_others_out(
    shelf: Shelf, graphs: GraphDirectory
) -> None:
    rng = np.random.default_rng(2)
    (face,) = random_embeddings(rng, 1)
    await shelf.put(*(("crowd", near(face, rng, 0.95)) for _ in range(400)))
    await shelf.put(*((f"s{index}", embedding) for index, embedding in enumerate(random_embeddings(rng, 20))))
    await build_graph(graphs, shelf)
    await shelf.load_cache(face)
    for strategy in STRATEGIES:
        (found,) = await shelf.ranked(shelf.gallery(), [face], 5, using=strategy)
        assert len(found) == 5
        assert_same(found, (await shelf.oracle.search(shelf.gallery(), [face], 5))[0])


async def test_one_subject_is_compared_with_all_its_templates(shelf: Shelf) -> None:
    rng = np.random.default_rng(3)
    one, two = random_embeddings(rng, 2)
    await shelf.put(("one", one), ("one", near(one, rng, 0.8)), ("two", two))
    probe = near(one, rng, 0.7)
    candidate = await shelf.search.compare(shelf.gallery(), shelf.ids["one"], probe)
    exact = await shelf.oracle.compare(shelf.gallery(), shelf.ids["one"], probe)
    assert candidate is not None
    assert exact is not None
    assert_same([candidate.candidate], [exact.candidate])
    assert candidate.scale.templates == exact.scale.templates == 2
    assert await shelf.search.compare(shelf.gallery(), uuid4(), probe) is None
    assert await shelf.search.compare(shelf.gallery("rec:none"), shelf.ids["one"], probe) is None


async def test_searching_by_what_is_stored_leaves_out_the_one_asked_about(shelf: Shelf) -> None:
    rng = np.random.default_rng(4)
    faces = random_embeddings(rng, 60)
    await shelf.put(*((f"s{index}", face) for index, face in enumerate(faces)))
    await shelf.put(("s0", near(faces[0], rng, 0.8)), ("twin", near(faces[0], rng, 0.7)))
    oracle = shelf.oracle
    for limit in (1, 4, 100):
        face_id, subject_id = shelf.stored[0].id, shelf.ids["s0"]
        for ours, exact in (
            (
                await shelf.search.subjects_like_face(shelf.gallery(), subject_id, face_id, limit),
                await oracle.subjects_like_face(shelf.gallery(), subject_id, face_id, limit),
            ),
            (
                await shelf.search.subjects_like_subject(shelf.gallery(), subject_id, limit),
                await oracle.subjects_like_subject(shelf.gallery(), subject_id, limit),
            ),
        ):
            assert ours is not None
            assert exact is not None
            ((found,), (expected,)) = ours.ranked, exact.ranked
            assert found[0].subject == "twin"
            assert "s0" not in subjects(found)
            assert_same(found, expected)
            assert ours.scale.templates == exact.scale.templates == 62
    assert await shelf.search.subjects_like_face(shelf.gallery(), shelf.ids["s0"], uuid4(), 5) is None
    assert await shelf.search.subjects_like_face(shelf.gallery(), shelf.ids["s1"], shelf.stored[0].id, 5) is None
    assert await shelf.search.subjects_like_subject(shelf.gallery(), uuid4(), 5) is None


async def test_one_bad_photo_attracts_no_stranger(shelf: Shelf) -> None:
    rng = np.random.default_rng(5)
    person, stranger = random_embeddings(rng, 2)
    await shelf.put(*(("person", near(person, rng, 0.8)) for _ in range(4)))
    await shelf.put(("person", near(stranger, rng, 0.8)))  # a photo that shows somebody else
    (found,) = await shelf.ranked(shelf.gallery(), [near(stranger, rng, 0.9)], 1)
    assert found[0].similarity > 0.6
    assert found[0].subject_similarity < 0.25
    (found,) = await shelf.ranked(shelf.gallery(), [near(person, rng, 0.8)], 1)
    assert found[0].subject_similarity > 0.6


async def test_no_probes_no_query(shelf: Shelf) -> None:
    assert await shelf.ranked(shelf.gallery(), [], 5) == []


async def test_strategies_change_under_load_and_nothing_is_lost(shelf: Shelf, graphs: GraphDirectory) -> None:
    """A collection grows from nothing past every limit while it is searched, erased from and given a graph."""
    rng = np.random.default_rng(6)
    faces = random_embeddings(rng, 400)
    stored: set[int] = set()
    taken: set[Strategy] = set()
    lost: list[str] = []

    async def grow() -> None:
        for start in range(0, len(faces), 8):
            batch = range(start, start + 8)
            await shelf.put(*((f"s{index:03d}", faces[index]) for index in batch))
            stored.update(batch)
            if start in (120, 240):
                await build_graph(graphs, shelf)
            if start % 40 == 0:
                gone = int(rng.choice(sorted(stored)))
                stored.discard(gone)
                await shelf.erase(f"s{gone:03d}")

    async def look(seed: int) -> None:
        order = np.random.default_rng(seed)
        choose = shelf.engine.limits
        while not growing.done():
            before = sorted(stored)
            if not before:
                await asyncio.sleep(0)
                continue
            index = int(order.choice(before))
            (found,) = await shelf.ranked(shelf.gallery(), [faces[index]], 1)
            if (not found or found[0].subject != f"s{index:03d}") and index in stored:
                lost.append(f"{index} of {len(before)}")
            taken.add(await strategy_now(shelf))
            assert choose is LIMITS

    growing = asyncio.ensure_future(grow())
    await asyncio.gather(growing, *(look(seed) for seed in range(3)))
    assert lost == []
    assert {Strategy.EXACT, Strategy.CACHED_CODES} <= taken
    for index in sorted(stored):
        (found,) = await shelf.ranked(shelf.gallery(), [faces[index]], 1)
        assert subjects(found) == [f"s{index:03d}"]


async def strategy_now(shelf: Shelf) -> Strategy:
    from app.matcher.pgvector_search import GalleryStatements
    from app.matcher.strategy import choose_strategy

    async with shelf.engine.snapshots.snapshot(shelf.tenant_id) as connection:
        facts = await GalleryStatements(connection, shelf.tenant_id).read_facts(shelf.gallery())
    assert facts is not None
    cached = shelf.engine.cache.look_up(shelf.tenant_id, facts)
    return choose_strategy(facts, LIMITS, cached_through_seq=cached.through_seq if cached else None)


async def test_a_gallery_too_large_for_the_cache_is_searched_without_it(
    search_service: Database, search_database: SearchDatabase, graphs: GraphDirectory
) -> None:
    engine = make_engine(search_database.service, cache_bytes=72 * 100)
    shelf = await Shelf.make(search_service, engine)
    faces = random_embeddings(np.random.default_rng(7), 150)
    await shelf.put(*((f"s{index}", face) for index, face in enumerate(faces)))
    assert await strategy_now(shelf) is Strategy.CODES
    await build_graph(graphs, shelf)
    assert await strategy_now(shelf) is Strategy.GRAPH
    (found,) = await shelf.ranked(shelf.gallery(), [faces[3]], 1)
    assert subjects(found) == ["s3"]
    await engine.close()


async def test_the_cache_forgets_the_gallery_that_was_not_used(
    search_service: Database, search_database: SearchDatabase
) -> None:
    engine = make_engine(search_database.service, cache_bytes=72 * 250)
    shelves = [await Shelf.make(search_service, engine) for _ in range(3)]
    for seed, shelf in enumerate(shelves):
        faces = random_embeddings(np.random.default_rng(seed), 100)
        await shelf.put(*((f"s{index}", face) for index, face in enumerate(faces)))
        await shelf.load_cache(faces[0])
    held = engine.cache._entries
    assert len(held) == 2
    assert sum(entry.cached.size_bytes for entry in held.values()) <= 72 * 250
    await engine.close()


async def test_a_changed_embedding_makes_the_cache_load_anew(shelf: Shelf, graphs: GraphDirectory) -> None:
    from sqlalchemy import text

    one, two = random_embeddings(np.random.default_rng(8), 2)
    await shelf.put(*((f"s{index}", face) for index, face in enumerate([one] * 60)))
    await shelf.load_cache(one)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        literal = "[" + ",".join(map(str, two.tolist())) + "]"
        await session.execute(
            text("UPDATE templates SET embedding = CAST(:new AS halfvec(512)) WHERE subject_id = :id"),
            {"new": literal, "id": shelf.ids["s7"]},
        )
    search = TenantSearch(shelf.engine, shelf.tenant_id, has_stored_probes=True)
    for _ in range(2):  # at once without the cache, then with the new one
        (found,) = (await search.identify_in_database(shelf.gallery(), [two], 1)).ranked
        assert subjects(found) == ["s7"]
        await shelf.engine.cache.wait_until_loaded()
    assert await strategy_now(shelf) is Strategy.CACHED_CODES


async def test_searches_share_a_bounded_number_of_connections(shelf: Shelf) -> None:
    faces = random_embeddings(np.random.default_rng(9), 60)
    await shelf.put(*((f"s{index}", face) for index, face in enumerate(faces)))
    found = await asyncio.gather(*(shelf.ranked(shelf.gallery(), [face], 1) for face in faces))
    assert [subjects(one) for (one,) in found] == [[f"s{index}"] for index in range(60)]
    assert shelf.engine.snapshots._pool._pool.get_size() <= 4


async def test_a_gallery_that_never_was_has_nobody(shelf: Shelf) -> None:
    (embedding,) = random_embeddings(np.random.default_rng(0), 1)
    assert await shelf.ranked(Gallery(uuid4(), "rec:1"), [embedding], 5) == [[]]


@pytest.mark.skipif(not has_pgbouncer(), reason="pgbouncer is not installed")
async def test_searches_behind_pgbouncer_meet_their_own_tenant_only(
    search_service: Database, search_database: SearchDatabase, graphs: GraphDirectory, tmp_path: Path
) -> None:
    """In transaction mode every transaction may meet another server connection, and the statements one that has not
    prepared them."""
    with pgbouncer(search_database.service, tmp_path) as address:
        engine = make_engine(address, behind_pgbouncer=True)
        shelves = [await Shelf.make(search_service, engine) for _ in range(4)]
        faces = random_embeddings(np.random.default_rng(10), 60)
        for number, shelf in enumerate(shelves):
            await shelf.put(*((f"t{number}-{index}", face) for index, face in enumerate(faces)))
            await shelf.load_cache(faces[0])
        await build_graph(graphs, shelves[0])

        async def ask(number: int, index: int) -> bool:
            strategy = STRATEGIES[(number + index) % len(STRATEGIES)]
            (found,) = await shelves[number].ranked(shelves[number].gallery(), [faces[index]], 2, using=strategy)
            return subjects(found)[:1] == [f"t{number}-{index}"] and len(found) == 2

        asked = await asyncio.gather(*(ask(number, index) for index in range(60) for number in range(4)))
        assert all(asked)
        await engine.close()
