"""Layer 1: measure the search alone, its times and its results, by size and strategy, against the usual designs.

    make bench-database          everything: 1,000 collections, and one of a million (hours on two cores)
    make bench-database-small    the same at a hundredth of the size (minutes)
    python -m benchmarks.layer1_database [--scale small|full] [--data DIR] [--photos DIR --pack DIR] [--out FILE]

Searches run as in the service: through its login under row-level security, with one request in flight per core. Whole
transactions are timed. Galleries hold the embeddings of `face_embeddings.py`; probes are mates of stored faces with
cosines from 0.3 to 0.76. A mate is true if an exact search in this process ranks it among the first ten. `--data` keeps
the filled database for the next run.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.faces import Embedding
from app.matcher.engine import SearchEngine
from app.matcher.gallery_cache import GalleryCache
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.statements import BY_SUBJECT
from app.matcher.strategy import SearchLimits, Strategy
from app.matcher.tenant_search import TenantSearch
from app.persistence.connections.database import Database, driver_address
from app.persistence.connections.snapshots import SnapshotPool
from app.persistence.connections.statements import StatementPool
from app.persistence.repositories.graphs import GraphDirectory
from app.persistence.template_protector import TemplateProtector
from app.security.keyring import Keyring
from app.services.maintenance.search_indexes import SearchIndexService
from benchmarks import reference_design as reference
from benchmarks.face_embeddings import Embeddings, FaceLike, extract_faces, unit
from benchmarks.galleries import BenchDatabase, Stored, add_tenant, fill, skewed_sizes
from benchmarks.machine import describe_run
from benchmarks.probes import IN_FLIGHT, LIMIT, Probes, Search, Tally, ask
from benchmarks.registering import measure_registering
from benchmarks.serving import percentile

SCALES: dict[str, dict[str, Any]] = {
    "small": {"sizes": [1_000, 5_000, 10_000], "collections": 100, "templates": 10_000, "graphs_from": 5_000},
    "full": {
        "sizes": [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000],
        "collections": 1_000,
        "templates": 1_000_000,
        "graphs_from": 100_000,
    },
}


def service_search(engine: SearchEngine, stored: Stored, using: Strategy | None) -> Search:
    """Return the search of the service; without a strategy, the service chooses one."""
    search = TenantSearch(engine, stored.tenant_id)

    async def run(probe: Embedding) -> list[str]:
        (found,) = (await search.identify_in_database(stored.gallery, [probe], LIMIT, using=using)).ranked
        return [candidate.subject for candidate in found]

    return run


def note(message: str) -> None:
    """Print progress to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


PROTECTOR = TemplateProtector(Keyring([b"a secret of the benchmark, 32 bytes or more"]))


class Layer1:
    """Runs all measurements of layer 1."""

    def __init__(self, database: BenchDatabase, scale: dict[str, Any]) -> None:
        self.database = database
        self.scale = scale
        self.source = FaceLike(7)
        pool, filling = (SnapshotPool(database.service, size=size) for size in (IN_FLIGHT, 1))
        statements = StatementPool(driver_address(database.service), size=IN_FLIGHT)
        cache = GalleryCache(filling, max_bytes=2**30, max_whole_templates=0)
        self.engine = SearchEngine(pool, statements, cache, SearchLimits(), PROTECTOR)

    async def prepare(self) -> None:
        """Fill the database and build every index, except for what exists already."""
        self.connection = await self.database.connect()
        alone = await add_tenant(self.connection, "alone")
        self.alone = {
            size: await fill(self.connection, alone, f"of {size}", FaceLike(size).draw(size), note)
            for size in self.scale["sizes"]
        }
        self.skewed = []
        sizes = skewed_sizes(self.scale["collections"], self.scale["templates"])
        faces = FaceLike(3)
        for index, size in enumerate(sizes):
            tenant = await add_tenant(self.connection, f"tenant {index % 100}")
            self.skewed.append(await fill(self.connection, tenant, f"c{index}", faces.draw(size), note))
        note("vacuum")
        for table in ("subjects", "templates", "galleries"):
            await self.connection.execute(f"VACUUM ANALYZE {table}")
        for size in [size for size in self.alone if size <= 10_000]:
            await reference.fill_array_table(self.connection, str(size), self.alone[size].embeddings)
        largest = max(size for size in self.alone if size <= 100_000)
        self.reference_alone = self.alone[largest]
        await reference.fill_shared_table(self.connection, "alone", [self.reference_alone], note)
        await reference.fill_shared_table(self.connection, "everybody", self.skewed, note)
        await self._build_graphs()

    async def _build_graphs(self) -> None:
        operator = Database(self.database.owner, pool_size=2)
        graphs = GraphDirectory(operator)
        service = SearchIndexService(graphs, self.engine, graph_from=1)
        for record in await graphs.list_galleries():
            if record.tenant == "alone" and record.templates >= self.scale["graphs_from"] and record.graph is None:
                note(f"graph over {record.templates:,} templates")
                started = time.perf_counter()
                recall = await service.rebuild(record, memory_mb=4_096)
                took = time.perf_counter() - started
                note(f"  {took:.0f} s, recall {recall.value:.4f}")
        await operator.close()

    async def warm(self, galleries: Sequence[Stored]) -> None:
        """Load the codes of every gallery and read its pages into memory."""
        for stored in galleries:
            for using in (Strategy.CACHED_CODES, Strategy.EXACT, Strategy.CODES):
                await service_search(self.engine, stored, using)(stored.embeddings[0])
            await self.engine.cache.wait_until_loaded()

    async def sizes(self) -> dict[str, Any]:
        """Measure one collection of each size: all strategies, the reference designs, and faiss in this process."""
        await self.warm(list(self.alone.values()))
        measured: dict[str, Any] = {}
        for size, stored in self.alone.items():
            note(f"one collection of {size:,}")
            probes = Probes.make(stored, 400, self.source)
            few = Probes(probes.embeddings[:40], probes.cosines[:40], probes.subjects[:40], probes.true[:40])
            row: dict[str, Any] = {}
            for strategy in (None, Strategy.CACHED_CODES, Strategy.GRAPH, Strategy.CODES, Strategy.EXACT):
                if strategy is Strategy.GRAPH and size < self.scale["graphs_from"]:
                    continue
                is_slow = size > 100_000 and strategy in (Strategy.CODES, Strategy.EXACT)
                tally = await ask(service_search(self.engine, stored, strategy), few if is_slow else probes, size)
                row[strategy.value if strategy else "chosen"] = tally.describe()
            row["faiss_fp16_flat"] = await self._faiss(stored, probes)
            # One at a time, like faiss, for the ratio of the two.
            for strategy in (Strategy.EXACT, Strategy.CACHED_CODES):
                tally = await ask(service_search(self.engine, stored, strategy), few, size, in_flight=1)
                row[f"{strategy.value}_alone_over_faiss"] = round(
                    percentile(tally.times, 0.5) * 1000 / row["faiss_fp16_flat"]["p50_ms"], 2
                )
            if size <= 10_000:
                row["array_python_loop"] = await self._array(size, probes)
            measured[str(size)] = row
        return measured

    async def _faiss(self, stored: Stored, probes: Probes) -> dict[str, Any]:
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.IndexScalarQuantizer(512, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.train(stored.embeddings[:1000])
        index.add(stored.embeddings)

        async def search(probe: Embedding) -> list[str]:
            _, rows = index.search(probe[None], LIMIT)
            return [stored.subjects[row] for row in rows[0]]

        return (await ask(search, probes, stored.size, in_flight=1)).describe()

    async def _array(self, size: int, probes: Probes) -> dict[str, Any]:
        few = Probes(probes.embeddings[:5], probes.cosines[:5], probes.subjects[:5], probes.true[:5])

        async def search(probe: Embedding) -> list[str]:
            return await reference.search_array_table(self.connection, str(size), probe)

        return (await ask(search, few, size, in_flight=1)).describe()

    async def many(self) -> dict[str, Any]:
        """Measure all collections of skewed size with every strategy."""
        await self.warm(self.skewed)
        totals: dict[str, Tally] = {}
        chosen: dict[str, Tally] = {}
        for index, stored in enumerate(self.skewed):
            probes = Probes.make(stored, 100 if stored.size > 5_000 else 3, self.source)
            strategies: list[Strategy | None] = [None, Strategy.EXACT, Strategy.CODES, Strategy.CACHED_CODES]
            for strategy in strategies:
                tally = await ask(service_search(self.engine, stored, strategy), probes, stored.size)
                totals.setdefault(strategy.value if strategy else "chosen", Tally()).add(tally)
                if strategy is None:
                    chosen.setdefault(_class_of(stored.size), Tally()).add(tally)
            if index % 100 == 99:
                note(f"{index + 1} of {len(self.skewed)} collections")
        return {
            "collections": len(self.skewed),
            "templates": sum(stored.size for stored in self.skewed),
            "by_strategy": {name: tally.describe() for name, tally in totals.items()},
            "chosen_by_size": {name: tally.describe() for name, tally in chosen.items()},
        }

    async def shared_index(self) -> dict[str, Any]:
        """Measure the shared HNSW index of the reference design on the same collections."""
        measured: dict[str, Any] = {}
        picks: dict[str, list[Stored]] = {}
        for stored in self.skewed:
            group = picks.setdefault(_class_of(stored.size), [])
            if len(group) < 4:
                group.append(stored)
        groups = {"alone": {_class_of(self.reference_alone.size): [self.reference_alone]}, "everybody": picks}
        for table, galleries in groups.items():
            for name, group in galleries.items():
                for iterative in (False, True):
                    tally = Tally()
                    for stored in group:

                        async def search(probe: Embedding, stored: Stored = stored) -> list[str]:
                            return await reference.search_shared_table(
                                self.connection, table, stored, probe, iterative=iterative
                            )

                        tally.add(await ask(search, Probes.make(stored, 50, self.source), stored.size, in_flight=1))
                    measured[f"{table}, {name}" + (", iterative scan" if iterative else "")] = tally.describe()
        return measured

    async def row_level_security(self) -> dict[str, Any]:
        """Compare the exact search by the service's login with that by the owner, who bypasses row-level security."""
        stored = self.alone[10_000 if 10_000 in self.alone else max(self.alone)]
        probes = list(self.source.draw(200))
        async with self.engine.snapshots.snapshot(stored.tenant_id) as connection:
            bound = GalleryStatements(connection, stored.tenant_id)
            await self.connection.execute("SET max_parallel_workers_per_gather = 0; SET random_page_cost = 1.1")
            free = GalleryStatements(self.connection, stored.tenant_id)
            facts = await bound.read_facts(stored.gallery)
            assert facts is not None
            times: dict[str, list[float]] = {"bound": [], "free": []}
            for probe in probes:
                for name, statements in (("bound", bound), ("free", free)):
                    started = time.perf_counter()
                    await statements.ranked_by(BY_SUBJECT).exact(facts, [probe], LIMIT, 100)
                    times[name].append(time.perf_counter() - started)
        bound_ms, free_ms = (round(percentile(times[name], 0.5) * 1000, 3) for name in ("bound", "free"))
        return {"with_ms": bound_ms, "without_ms": free_ms, "ratio": round(bound_ms / free_ms, 3), "size": stored.size}

    async def real(self, photos: Path, pack: Path, stored_faces: Path) -> dict[str, Any]:
        """Measure real faces, alone and among synthetic strangers: one photo is enrolled, the others are probes."""
        faces = extract_faces(photos, pack, stored_faces, note)
        _, first = np.unique(faces.people, return_index=True)
        others = np.setdiff1d(np.arange(len(faces.people)), first)
        tenant = await add_tenant(self.connection, "real")
        people, gallery = faces.people[first], faces.embeddings[first]
        measured: dict[str, Any] = {"people": len(first), "probes": len(others)}
        strangers = _strangers_like(gallery, max(0, max(self.alone.keys() & {10_000, 100_000}) - len(first)))
        for name, embeddings in (("alone", gallery), ("among strangers", np.concatenate([gallery, strangers]))):
            stored = await fill(self.connection, tenant, f"{name} {len(embeddings)}", embeddings, note)
            await self.connection.execute("VACUUM ANALYZE templates")
            await self.warm([stored])
            rows = np.searchsorted(people, faces.people[others])
            mates = faces.embeddings[others]
            probes = Probes.of_rows(stored, rows, mates, (gallery[rows] * mates).sum(axis=1))
            result: dict[str, Any] = {"templates": stored.size}
            for strategy in (None, Strategy.EXACT, Strategy.CODES, Strategy.CACHED_CODES):
                tally = await ask(service_search(self.engine, stored, strategy), probes, stored.size)
                result[strategy.value if strategy else "chosen"] = tally.describe()
            measured[name] = result
        return measured


def _class_of(size: int) -> str:
    for limit in (1_000, 20_000, 100_000):
        if size <= limit:
            return f"to {limit:,}"
    return "beyond"


def _strangers_like(real: Embeddings, count: int) -> Embeddings:
    """Draw synthetic strangers with the mean and the covariance of real faces."""
    values, vectors = np.linalg.eigh(np.cov(real.T))
    mix = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)
    normal = np.random.default_rng(5).standard_normal((count, real.shape[1]), dtype=np.float32)
    return unit(normal @ mix.T + real.mean(axis=0))


async def run(database: BenchDatabase, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run everything, in an order in which no part disturbs the next."""
    layer = Layer1(database, SCALES[arguments.scale])
    await layer.prepare()
    if arguments.prepare_only:
        return {}
    result: dict[str, Any] = {
        "what": "searches for one face, ten candidates, as the service's login under row-level security; whole "
        "transactions, milliseconds; one request in flight per core unless stated",
        **describe_run(),
        "scale": arguments.scale,
        "in_flight": IN_FLIGHT,
    }
    note("one collection of each size")
    result["sizes"] = await layer.sizes()
    note("many collections")
    result["many"] = await layer.many()
    note("shared HNSW index")
    result["shared_index"] = await layer.shared_index()
    result["row_level_security"] = await layer.row_level_security()
    if arguments.photos and arguments.pack:
        note("real faces")
        result["real"] = await layer.real(arguments.photos, arguments.pack, database.directory / "real_faces.npz")
    note("registering")
    result["registering"] = await measure_registering(await database.create_database("registering"), note)
    await layer.engine.close()
    await layer.connection.close()
    return result


def main() -> None:
    """Measure and write JSON."""
    parser = argparse.ArgumentParser(description="Time searches and count the mates they return.")
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--data", type=Path, help="the directory that keeps the database")
    parser.add_argument("--photos", type=Path, help="photos of real people, one folder per person")
    parser.add_argument("--pack", type=Path, help="the model pack for these photos")
    parser.add_argument("--prepare-only", action="store_true", help="fill the database and build its indexes")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        with BenchDatabase(arguments.data or Path(directory)) as database:
            result = asyncio.run(run(database, arguments))
        output = json.dumps(result, indent=1)
        print(output)
        if arguments.out:
            arguments.out.write_text(output + "\n")


if __name__ == "__main__":
    main()
