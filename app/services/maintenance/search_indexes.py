"""What the operator does about searching: see, measure and rebuild the ways it takes; and the keeper that does it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from app.errors import AppError, OperatorError
from app.matcher.engine import SearchEngine
from app.matcher.hnsw.graph import Graph, graph_condition
from app.matcher.hnsw.recall import Recall, mates_of, measure_recall
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.search import Gallery
from app.matcher.strategy import GalleryFacts, Strategy, choose_strategy
from app.matcher.tenant_search import TenantSearch
from app.persistence.repositories.graphs import GalleryRecord, GraphDirectory
from app.telemetry import get_logger

_log = get_logger(__name__)

MIN_RECALL = 0.999
"""A graph that returns less of the matches is not used: searches take a complete way until it is rebuilt."""

DEFAULT_MEMORY_MB = 2_048
MONITOR_PROBES = 200
_CHECK_EVERY = timedelta(hours=6)
KEEPER_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class GalleryStatus:
    """A gallery and how a search through it goes."""

    record: GalleryRecord
    strategy: str
    graph: str


class SearchIndexService:
    """Works with the operator's login on the graphs and with the service's on searches."""

    def __init__(
        self, graphs: GraphDirectory, engine: SearchEngine, *, graph_from: int, monitor_probes: int = MONITOR_PROBES
    ) -> None:
        self._graphs = graphs
        self._engine = engine
        self._graph_from = graph_from
        self._monitor_probes = monitor_probes

    async def status(self) -> list[GalleryStatus]:
        """Every gallery, the largest first."""
        return [
            GalleryStatus(one, self._describe(one), _describe_graph(one)) for one in await self._graphs.list_galleries()
        ]

    async def verify(
        self, records: Sequence[GalleryRecord], *, probes: int, seed: int = 0
    ) -> list[tuple[GalleryRecord, Recall]]:
        """Each strategy beside the exact search on mates of stored faces, for each of the galleries."""
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
        """Build the gallery's graph anew, measure it, and let searches use it if it loses nothing.

        Raises `GraphsBusy` while another process builds graphs.
        """
        async with self._graphs.alone():
            return await self._rebuild(record, memory_mb)

    async def _rebuild(self, record: GalleryRecord, memory_mb: int) -> Recall:
        name = await self._graphs.build(
            record, graph_condition(record.id, record.last_seq), upto=record.last_seq, memory_mb=memory_mb
        )
        await self._graphs.install(record, name, record.last_seq)
        recall = await self.check(record)
        await self._graphs.drop_unused()
        return recall

    async def check(self, record: GalleryRecord) -> Recall:
        """The recall monitor: measure the gallery's graph and trust or distrust it accordingly."""
        recall = await self._measure(record, Strategy.GRAPH, self._monitor_probes, seed=record.last_seq)
        is_trusted = recall.is_good(MIN_RECALL)
        await self._graphs.note_recall(record, recall.value, is_trusted=is_trusted)
        if not is_trusted:
            _log.warning("graph_distrusted", gallery=str(record.id), recall=recall.value)
        return recall

    async def maintain(self) -> None:
        """One round of the keeper: build what is missing or stale, measure what is due, drop what is left.

        Raises `GraphsBusy` while another process does it.
        """
        async with self._graphs.alone():
            for record in await self._graphs.list_galleries():
                try:
                    await self._maintain_one(record)
                except (AppError, OperatorError) as exc:  # the others go on
                    _log.warning("graph_not_maintained", gallery=str(record.id), error=type(exc).__name__)
            await self._graphs.drop_unused()

    async def _maintain_one(self, record: GalleryRecord) -> None:
        if not self._wants_graph(record):
            if record.graph is not None:
                await self._graphs.remove(record)
        elif self._is_due_for_building(record):
            await self._rebuild(record, DEFAULT_MEMORY_MB)
        elif record.graph_checked_at is None or datetime.now(UTC) - record.graph_checked_at > _CHECK_EVERY:
            await self.check(record)

    async def keep(self, *, pause_s: float = KEEPER_PAUSE_S) -> None:
        """Maintain for ever, with a pause before each round; what goes wrong is logged and tried again."""
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.maintain()
            except (AppError, OperatorError) as exc:
                _log.warning("graphs_not_maintained", error=type(exc).__name__)

    def _wants_graph(self, record: GalleryRecord) -> bool:
        is_large = self._graph_from > 0 and record.templates >= self._graph_from
        return is_large and not self._engine.cache.has_room_for(record.templates)

    def _is_due_for_building(self, record: GalleryRecord) -> bool:
        if record.graph is None or record.graph_upto is None:
            return True
        if record.last_seq - record.graph_upto > self._engine.limits.graph_tail // 2:
            return True
        # A graph that lost matches is not built again from the same faces: it would lose them again.
        return not record.graph_trusted and record.graph_checked_at is not None and record.last_seq != record.graph_upto

    async def _measure(self, record: GalleryRecord, strategy: Strategy, probes: int, seed: int) -> Recall:
        rng = np.random.default_rng(seed)
        search = TenantSearch(self._engine, record.tenant_id, has_stored_probes=True)
        gallery = Gallery(record.collection_id, record.recognizer)
        places = np.unique(rng.integers(1, record.last_seq + 1, size=probes)).tolist()
        async with self._engine.snapshots.snapshot(record.tenant_id) as connection:
            stored = await GalleryStatements(connection, record.tenant_id).read_embeddings(record.id, places)
        if strategy is Strategy.CACHED_CODES and stored:  # the first search only makes it load
            await search.identify_in_database(gallery, stored[:1], 1, using=strategy)
            await self._engine.cache.loaded()
        return await measure_recall(search, gallery, strategy, mates_of(stored, rng))

    def _describe(self, record: GalleryRecord) -> str:
        graph = Graph(record.graph, record.graph_upto or 0, record.graph_trusted) if record.graph else None
        facts = GalleryFacts(record.id, record.templates, record.last_seq, 0, 0, graph)
        held = record.last_seq if self._engine.cache.has_room_for(record.templates) else None
        return choose_strategy(facts, self._engine.limits, cached_upto=held).value


def _describe_graph(record: GalleryRecord) -> str:
    if record.graph is None or record.graph_upto is None:
        return "none"
    recall = "not measured" if record.graph_recall is None else f"recall {record.graph_recall:.4f}"
    state = "in use" if record.graph_trusted else "not used"
    return f"{state}, {recall}, {record.last_seq - record.graph_upto} newer"
