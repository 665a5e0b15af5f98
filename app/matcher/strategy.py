"""Which way to search a gallery: complete in every case, and the quickest of those at hand."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.decisions import EMPTY, GalleryScale
from app.matcher.hnsw.graph import Graph
from app.persistence.models import COVERED_PLACES
from app.security.template_protection import UNPROTECTED, Protection


class Strategy(StrEnum):
    """A way to find the templates most similar to a probe.

    `EXACT` compares every embedding; `CODES` every 512-bit code and then the embeddings of the nearest; `CACHED_CODES`
    the same with the codes in this process's memory; `GRAPH` walks an HNSW index. Except for the last, which a recall
    monitor watches, each is complete to what half precision and the number of re-ranked codes allow.
    """

    EXACT = "exact"
    CACHED_CODES = "cached_codes"
    GRAPH = "graph"
    CODES = "codes"


@dataclass(frozen=True, slots=True)
class GalleryFacts:
    """What the database says of a gallery at the moment of a search."""

    id: UUID
    templates: int
    last_seq: int
    deletions: int
    epoch: int
    graph: Graph | None = None
    protection: Protection = UNPROTECTED
    scale: GalleryScale = EMPTY


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Where one strategy ends and the next begins, in templates; the crossovers are measured (PERFORMANCE.md).

    `exact`: galleries up to here are compared whole, if they never had more places than the covering index holds.
    `cache_tail`: so many newer templates may be compared one by one beside a cache that does not have them yet.
    `graph_tail`: so many may be searched by their codes beside a graph. `deep`: so many of the nearest codes are
    compared where the usual number had too few subjects.
    """

    exact: int = 2_000
    cache_tail: int = 5_000
    graph_tail: int = 50_000
    deep: int = 20_000


def choose_strategy(facts: GalleryFacts, limits: SearchLimits, *, cached_upto: int | None) -> Strategy:
    """The strategy for a search now; `cached_upto` is the last place whose code is in memory, if any is."""
    if is_exact(facts, limits):
        return Strategy.EXACT
    if cached_upto is not None and facts.last_seq - cached_upto <= limits.cache_tail:
        return Strategy.CACHED_CODES
    graph = facts.graph
    if graph is not None and graph.is_trusted and facts.last_seq - graph.upto <= limits.graph_tail:
        return Strategy.GRAPH
    return Strategy.CODES


def is_exact(facts: GalleryFacts, limits: SearchLimits) -> bool:
    """Whether the gallery is small enough to be compared whole."""
    return facts.templates <= limits.exact and facts.last_seq <= COVERED_PLACES


@dataclass(frozen=True, slots=True)
class CodeDepth:
    """How many of a gallery's codes a search goes on with, at each step.

    `by_signs`: so many with the fewest differing signs. `by_product`: so many of those by the inner product of the
    probe with the signs, where the codes are in memory. What is left has its embeddings compared.
    """

    by_signs: int
    by_product: int

    def deeper_by(self, more: int) -> "CodeDepth":
        """So many more at each step."""
        return CodeDepth(self.by_signs + more, self.by_product + more)


def code_depth(templates: int, least: int) -> CodeDepth:
    """2% by signs, then 0.4% by product, within bounds; never fewer than `least`.

    On the embeddings of a small recognizer, whose strangers reach far (deviation of their cosine 0.1), so many hold
    0.999 of the mates at a cosine of 0.4 or more (PERFORMANCE.md).
    """
    by_signs = max(least, min(max(templates // 50, 400), 10_000))
    return CodeDepth(by_signs, max(least, min(max(templates // 250, 200), 1_000)))
