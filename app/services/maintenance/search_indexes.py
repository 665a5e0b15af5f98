"""Inspect, measure and rebuild the HNSW graphs that searches use, on request or in a maintenance loop."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from app.errors import AppError, OperatorError
from app.matcher.engine import SearchEngine
from app.matcher.hnsw.graph import Graph, graph_condition
from app.matcher.hnsw.recall import Recall, make_mates, measure_recall
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.search import Gallery
from app.matcher.strategy import GalleryFacts, Strategy, choose_strategy
from app.matcher.tenant_search import TenantSearch
from app.persistence.repositories.graphs import GalleryRecord, GraphDirectory
from app.telemetry import get_logger

_log = get_logger(__name__)

MIN_RECALL = 0.999
"""A graph with a lower recall is not used; searches compare all codes until it is rebuilt."""

DEFAULT_MEMORY_MB = 2_048
MONITOR_PROBES = 200
_CHECK_INTERVAL = timedelta(hours=6)
MAINTENANCE_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class GalleryStatus:
    """A gallery, the strategy of its searches, and the state of its graph."""

    record: GalleryRecord
    strategy: str
    graph: str


class SearchIndexService:
    """Maintain graphs with the operator's login, and measure searches with the service's.

    `graph_from` is the number of templates from which on a gallery gets a graph; 0 for no graphs.
    """

    def __init__(
        self, graphs: GraphDirectory, engine: SearchEngine, *, graph_from: int, monitor_probes: int = MONITOR_PROBES
    ) -> None:
        self._graphs = graphs
        self._engine = engine
        self._graph_from = graph_from
        self._monitor_probes = monitor_probes

    async def status(self) -> list[GalleryStatus]:
        """List all galleries, largest first."""
        return [
            GalleryStatus(record, self._describe(record), _describe_graph(record))
            for record in await self._graphs.list_galleries()
        ]

    async def verify(
        self, records: Sequence[GalleryRecord], *, probes: int, seed: int = 0
    ) -> list[tuple[GalleryRecord, Recall]]:
        """Measure the recall of each strategy against the exact search, with synthetic mates of stored faces."""
        measured = []
        for record in records:
            strategies = [Strategy.CODES]
            if self._engine.cache.has_room_for(record.templates):
                strategies.insert(0, Strategy.CACHED_CODES)
            if record.graph_trusted:
                strategies.append(Strategy.GRAPH)
            for strategy in strategies:
                measured.append((record, await self._measure(record, strategy, probes, seed)))
        return measured

    async def rebuild(self, record: GalleryRecord, *, memory_mb: int = DEFAULT_MEMORY_MB) -> Recall:
        """Build a new graph for the gallery and measure its recall; searches use it from `MIN_RECALL` on.

        Raises `GraphsBusy` if another process is building graphs.
        """
        async with self._graphs.lock():
            return await self._rebuild(record, memory_mb)

    async def _rebuild(self, record: GalleryRecord, memory_mb: int) -> Recall:
        name = await self._graphs.build(
            record, graph_condition(record.id, record.last_seq), through_seq=record.last_seq, memory_mb=memory_mb
        )
        await self._graphs.set_graph(record, name, record.last_seq)
        recall = await self.check(record)
        await self._graphs.drop_unused()
        return recall

    async def check(self, record: GalleryRecord) -> Recall:
        """Measure the recall of the gallery's graph, and mark the graph as trusted from `MIN_RECALL` on."""
        recall = await self._measure(record, Strategy.GRAPH, self._monitor_probes, seed=record.last_seq)
        is_trusted = recall.is_good(MIN_RECALL)
        await self._graphs.update_recall(record, recall.value, is_trusted=is_trusted)
        if not is_trusted:
            _log.warning("graph_distrusted", gallery=str(record.id), recall=recall.value)
        return recall

    async def maintain(self) -> None:
        """Run one iteration: build missing and stale graphs, check those that are due, drop unused ones.

        Raises `GraphsBusy` if another process is building graphs.
        """
        async with self._graphs.lock():
            for record in await self._graphs.list_galleries():
                try:
                    await self._maintain_one(record)
                except (AppError, OperatorError) as exc:  # the other galleries are still maintained
                    _log.warning("graph_not_maintained", gallery=str(record.id), error=type(exc).__name__)
            await self._graphs.drop_unused()

    async def _maintain_one(self, record: GalleryRecord) -> None:
        if not self._needs_graph(record):
            if record.graph is not None:
                await self._graphs.clear_graph(record)
        elif self._must_build(record):
            await self._rebuild(record, DEFAULT_MEMORY_MB)
        elif record.graph_checked_at is None or datetime.now(UTC) - record.graph_checked_at > _CHECK_INTERVAL:
            await self.check(record)

    async def run_forever(self, *, pause_s: float = MAINTENANCE_PAUSE_S) -> None:
        """Maintain until cancelled, with a pause before each iteration; errors are logged and retried."""
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.maintain()
            except (AppError, OperatorError) as exc:
                _log.warning("graphs_not_maintained", error=type(exc).__name__)

    def _needs_graph(self, record: GalleryRecord) -> bool:
        is_large = self._graph_from > 0 and record.templates >= self._graph_from
        return is_large and not self._engine.cache.has_room_for(record.templates)

    def _must_build(self, record: GalleryRecord) -> bool:
        if record.graph is None or record.graph_upto is None:
            return True
        if record.last_seq - record.graph_upto > self._engine.limits.graph_tail // 2:
            return True
        # Rebuilding a graph from the same templates would lose the same matches again.
        return not record.graph_trusted and record.graph_checked_at is not None and record.last_seq != record.graph_upto

    async def _measure(self, record: GalleryRecord, strategy: Strategy, probes: int, seed: int) -> Recall:
        rng = np.random.default_rng(seed)
        search = TenantSearch(self._engine, record.tenant_id, has_stored_probes=True)
        gallery = Gallery(record.collection_id, record.recognizer)
        seqs = np.unique(rng.integers(1, record.last_seq + 1, size=probes)).tolist()
        async with self._engine.snapshots.snapshot(record.tenant_id) as connection:
            stored = await GalleryStatements(connection, record.tenant_id).read_embeddings(record.id, seqs)
        if strategy is Strategy.CACHED_CODES and stored:  # the first search starts loading the cache
            await search.identify_in_database(gallery, stored[:1], 1, using=strategy)
            await self._engine.cache.wait_until_loaded()
        return await measure_recall(search, gallery, strategy, make_mates(stored, rng))

    def _describe(self, record: GalleryRecord) -> str:
        graph = Graph(record.graph, record.graph_upto or 0, record.graph_trusted) if record.graph else None
        facts = GalleryFacts(record.id, record.templates, record.last_seq, 0, 0, graph)
        cached = record.last_seq if self._engine.cache.has_room_for(record.templates) else None
        return choose_strategy(facts, self._engine.limits, cached_through_seq=cached).value


def _describe_graph(record: GalleryRecord) -> str:
    if record.graph is None or record.graph_upto is None:
        return "none"
    recall = "recall not measured" if record.graph_recall is None else f"recall {record.graph_recall:.4f}"
    state = "in use" if record.graph_trusted else "not used"
    return f"{state}, {recall}, {record.last_seq - record.graph_upto} newer templates"
