"""Graphs of large collections: built beside searches, watched, distrusted, rebuilt, removed."""

import asyncio

import numpy as np
import pytest
from sqlalchemy import text

from app.errors import GraphsBusy
from app.matcher.hnsw.graph import graph_condition
from app.matcher.hnsw.recall import Recall, make_mates
from app.matcher.strategy import Strategy
from app.persistence.connections.database import Database
from app.persistence.repositories.graphs import GraphDirectory
from app.services.maintenance.search_indexes import SearchIndexService
from tests.integration.conftest import SearchDatabase, Shelf, make_engine, near, random_embeddings, record_of, subjects


async def indexes(graphs: GraphDirectory) -> set[str]:
    async with graphs._database.autocommit() as connection:
        return set(await connection.scalars(text("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'graph%'")))


def service(graphs: GraphDirectory, shelf: Shelf, graph_from: int = 1) -> SearchIndexService:
    return SearchIndexService(graphs, shelf.engine, graph_from=graph_from, monitor_probes=20)


async def filled(shelf: Shelf, count: int = 120, seed: int = 0) -> Shelf:
    faces = random_embeddings(np.random.default_rng(seed), count)
    await shelf.put(*((f"s{index:04d}", face) for index, face in enumerate(faces)))
    return shelf


async def test_the_keeper_builds_watches_rebuilds_and_removes(
    search_service: Database, search_database: SearchDatabase, graphs: GraphDirectory
) -> None:
    engine = make_engine(search_database.service, cache_bytes=0)
    shelf = await filled(await Shelf.make(search_service, engine))
    await service(graphs, shelf, graph_from=121).maintain()
    assert (await record_of(graphs, shelf)).graph is None
    await service(graphs, shelf, graph_from=120).maintain()
    built = await record_of(graphs, shelf)
    assert built.graph in await indexes(graphs)
    assert (built.graph_upto, built.graph_trusted, built.graph_recall) == (120, True, 1.0)
    await service(graphs, shelf, graph_from=120).maintain()  # nothing is due
    assert (await record_of(graphs, shelf)) == built
    # More newer faces than half of what may be searched beside a graph.
    faces = random_embeddings(np.random.default_rng(1), 41)
    await shelf.put(*((f"n{index}", face) for index, face in enumerate(faces)))
    await service(graphs, shelf).maintain()
    rebuilt = await record_of(graphs, shelf)
    assert rebuilt.graph_upto == 161
    assert built.graph not in await indexes(graphs)
    assert [one.strategy for one in await service(graphs, shelf).status() if one.record.id == rebuilt.id] == ["graph"]
    await service(graphs, shelf, graph_from=0).maintain()
    assert (await record_of(graphs, shelf)).graph is None
    assert rebuilt.graph not in await indexes(graphs)
    (found,) = await shelf.ranked(shelf.gallery(), [faces[3]], 1)
    assert subjects(found) == ["n3"]
    await engine.close()


async def test_a_graph_that_loses_matches_serves_no_search(
    search_service: Database, search_database: SearchDatabase, graphs: GraphDirectory
) -> None:
    """A careless index over crowded faces: the monitor sees that it loses some, and searches stay complete."""
    engine = make_engine(search_database.service, cache_bytes=0)
    shelf = await Shelf.make(search_service, engine)
    rng = np.random.default_rng(3)
    crowds = [(f"c{who:02d}", face) for who, face in enumerate(random_embeddings(rng, 12))]
    for who, face in crowds:
        await shelf.put(*((f"{who}-{index:03d}", near(face, rng, 0.995)) for index in range(120)))
    record = await record_of(graphs, shelf)
    name = f"graph_{record.id.hex}_{record.last_seq}_0000"
    async with graphs._database.autocommit() as connection:
        await connection.execute(
            text(
                f"CREATE INDEX {name} ON templates USING hnsw (embedding halfvec_cosine_ops) "
                f"WITH (m = 2, ef_construction = 4) WHERE {graph_condition(record.id, record.last_seq)}"
            )
        )
    await graphs.set_graph(record, name, record.last_seq)
    recall = await service(graphs, shelf).check(await record_of(graphs, shelf))
    assert recall.value < 0.999
    noted = await record_of(graphs, shelf)
    assert not noted.graph_trusted
    assert noted.graph_recall == pytest.approx(recall.value)
    (status,) = [one for one in await service(graphs, shelf).status() if one.record.id == record.id]
    assert (status.strategy, status.graph.split(",")[0]) == ("codes", "not used")
    for stored in shelf.stored[::100]:
        (found,) = await shelf.ranked(shelf.gallery(), [stored.embedding], 1)
        assert subjects(found) == [stored.subject]
    await service(graphs, shelf, graph_from=0).maintain()
    await engine.close()


async def test_what_an_interrupted_building_left_is_dropped(graphs: GraphDirectory, shelf: Shelf) -> None:
    await filled(shelf)
    record = await record_of(graphs, shelf)
    left = f"graph_{record.id.hex}_7_0000"
    async with graphs._database.autocommit() as connection:
        await connection.execute(text(f"CREATE INDEX {left} ON templates (id) WHERE seq <= 7"))
    assert left in await graphs.drop_unused()
    assert left not in await indexes(graphs)


async def test_only_one_process_builds_graphs(graphs: GraphDirectory, shelf: Shelf) -> None:
    await filled(shelf)
    async with graphs.lock():
        with pytest.raises(GraphsBusy):
            await service(graphs, shelf).maintain()
    await service(graphs, shelf).maintain()
    await service(graphs, shelf, graph_from=0).maintain()


async def test_registering_and_searching_go_on_while_a_graph_is_built(graphs: GraphDirectory, shelf: Shelf) -> None:
    await filled(shelf, 600)
    building = asyncio.ensure_future(service(graphs, shelf).rebuild(await record_of(graphs, shelf)))
    faces = random_embeddings(np.random.default_rng(9), 30)
    for index, face in enumerate(faces):
        await shelf.put((f"meanwhile{index}", face))
        (found,) = await shelf.ranked(shelf.gallery(), [face], 1)
        assert subjects(found) == [f"meanwhile{index}"]
    assert (await building).value == 1
    (found,) = await shelf.ranked(shelf.gallery(), [faces[-1]], 1, using=Strategy.GRAPH)
    assert subjects(found) == ["meanwhile29"]
    await service(graphs, shelf, graph_from=0).maintain()


async def test_a_graph_serves_while_it_is_built_anew(graphs: GraphDirectory, shelf: Shelf) -> None:
    await filled(shelf)
    keeper = service(graphs, shelf)
    await keeper.rebuild(await record_of(graphs, shelf))
    first = await record_of(graphs, shelf)
    await keeper.rebuild(first)  # of the same places: another name
    second = await record_of(graphs, shelf)
    assert first.graph != second.graph
    assert second.graph_trusted
    assert first.graph not in await indexes(graphs)
    await service(graphs, shelf, graph_from=0).maintain()


async def test_a_gallery_of_which_everybody_was_erased_has_nothing_to_measure(
    graphs: GraphDirectory, shelf: Shelf
) -> None:
    await filled(shelf, 3)
    for subject in ("s0000", "s0001", "s0002"):
        await shelf.erase(subject)
    record = await record_of(graphs, shelf)
    assert (record.templates, record.last_seq) == (0, 3)
    measured = await service(graphs, shelf).verify([record], probes=5)
    assert [(recall.probes, recall.value) for _, recall in measured] == [(0, 1.0), (0, 1.0)]


async def test_registering_and_erasing_in_one_collection_lock_in_one_order(shelf: Shelf) -> None:
    faces = random_embeddings(np.random.default_rng(11), 60)
    await filled(shelf, 60)

    async def erase() -> None:
        for index in range(60):
            await shelf.erase(f"s{index:04d}")

    async def register(part: int) -> None:
        for index in range(part, 60, 3):
            await shelf.put((f"n{index}", faces[index]))

    await asyncio.wait_for(asyncio.gather(erase(), *(register(part) for part in range(3))), 60)
    (found,) = await shelf.ranked(shelf.gallery(), [faces[0]], 100)
    assert len(found) == 60


async def test_the_planner_walks_the_graph_and_reads_the_covering_index(graphs: GraphDirectory, shelf: Shelf) -> None:
    from app.matcher.hnsw.graph import GRAPH_SETTINGS
    from app.matcher.statements import BY_SUBJECT
    from app.persistence.connections.snapshots import encode_embedding

    await filled(shelf, 400)
    await service(graphs, shelf).rebuild(await record_of(graphs, shelf))
    record = await record_of(graphs, shelf)
    async with graphs._database.autocommit() as connection:
        await connection.execute(text("VACUUM ANALYZE templates"))
    probe = [encode_embedding(shelf.stored[0].embedding)]
    statements = {
        "graph": (
            BY_SUBJECT.graph.format(condition=graph_condition(record.id, record.last_seq), through_seq=record.last_seq),
            (11, 400),
        ),
        "exact": (BY_SUBJECT.exact, (11, 152)),
        "codes": (BY_SUBJECT.codes, (11, 400)),
    }
    plans = {}
    async with shelf.engine.snapshots.snapshot(shelf.tenant_id) as connection:
        for name, (statement, more) in statements.items():
            if name == "graph":
                await connection.execute(GRAPH_SETTINGS.format(breadth=400))
            rows = await connection.fetch("EXPLAIN " + statement, shelf.tenant_id, record.id, probe, *more)
            plans[name] = "\n".join(row[0] for row in rows)
            await connection.execute("SELECT set_config('enable_sort', 'on', true)")
    assert f"Index Scan using {record.graph}" in plans["graph"]
    assert "Index Only Scan using ix_templates_search" in plans["exact"]
    assert "Index Only Scan using ix_templates_codes" in plans["codes"]
    # Row-level security is one condition a search, not one a row.
    assert "One-Time Filter" in plans["exact"]
    await service(graphs, shelf, graph_from=0).maintain()


def test_recall_counts_what_was_there_to_return() -> None:
    assert Recall(Strategy.GRAPH, 1, 0, 0, 0, 0).value == 1
    assert Recall(Strategy.GRAPH, 1, 4, 3, 10, 10).value == 0.75
    assert not Recall(Strategy.GRAPH, 1, 4, 3, 10, 10).is_good(0.8)
    assert not Recall(Strategy.GRAPH, 1, 4, 4, 10, 9).is_good(0.8)
    assert Recall(Strategy.GRAPH, 1, 4, 4, 10, 10).is_good(1)


def test_probes_of_the_monitor_are_mates_of_what_is_stored() -> None:
    stored = random_embeddings(np.random.default_rng(0), 50)
    cosines = [
        float(one @ mate) for one, mate in zip(stored, make_mates(stored, np.random.default_rng(1)), strict=True)
    ]
    assert 0.4 <= min(cosines) < 0.5 < 0.65 < max(cosines) <= 0.7501
