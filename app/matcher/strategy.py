"""The strategies that compare a gallery in PostgreSQL, and which of them a search uses.

A template's code is the signs of its 512 values, one bit each. Similar embeddings differ in few signs, so the Hamming
distance of two codes predicts the similarity at a fraction of the cost. Codes only select templates; the selected
ones are re-ranked by the similarity of their embeddings.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.decisions import EMPTY_SCALE, GalleryScale
from app.matcher.hnsw.graph import Graph
from app.persistence.models import MAX_COVERED_SEQ
from app.security.template_protection import UNPROTECTED, Protection


class Strategy(StrEnum):
    """How templates similar to a probe are found.

    - `EXACT`: compare every embedding.
    - `CACHED_CODES`: compare every code in this process's memory, then re-rank the nearest templates in PostgreSQL.
    - `GRAPH`: walk an HNSW index. A recall monitor checks it, because a walk can miss matches.
    - `CODES`: compare every code in PostgreSQL, then re-rank the nearest templates.

    All but `GRAPH` consider every template. Codes can miss a match only if more templates than `code_depth` have a
    nearer code.
    """

    EXACT = "exact"
    CACHED_CODES = "cached_codes"
    GRAPH = "graph"
    CODES = "codes"


@dataclass(frozen=True, slots=True)
class GalleryFacts:
    """A gallery's state in the snapshot of a search; for the counters see `GalleryVersion`."""

    id: UUID
    templates: int
    last_seq: int
    deletions: int
    epoch: int
    graph: Graph | None = None
    protection: Protection = UNPROTECTED
    scale: GalleryScale = EMPTY_SCALE


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Limits of the strategies, in templates; PERFORMANCE.md has the measured crossovers.

    - `exact`: compare the embeddings of galleries up to this size, if the covering index contains them completely.
    - `cache_tail`: use cached codes while at most this many templates are newer than the cache.
    - `graph_tail`: use a graph while at most this many templates are newer than it.
    - `deep`: in the fallback, re-rank this many of the nearest codes before comparing everything.
    """

    exact: int = 2_000
    cache_tail: int = 5_000
    graph_tail: int = 50_000
    deep: int = 20_000


def choose_strategy(facts: GalleryFacts, limits: SearchLimits, *, cached_through_seq: int | None) -> Strategy:
    """Choose the fastest available strategy; `cached_through_seq` is the newest cached code's sequence number."""
    if is_exact(facts, limits):
        return Strategy.EXACT
    if cached_through_seq is not None and facts.last_seq - cached_through_seq <= limits.cache_tail:
        return Strategy.CACHED_CODES
    graph = facts.graph
    if graph is not None and graph.is_trusted and facts.last_seq - graph.through_seq <= limits.graph_tail:
        return Strategy.GRAPH
    return Strategy.CODES


def is_exact(facts: GalleryFacts, limits: SearchLimits) -> bool:
    """Return whether every embedding is compared: the gallery is small and inside the covering index."""
    return facts.templates <= limits.exact and facts.last_seq <= MAX_COVERED_SEQ


@dataclass(frozen=True, slots=True)
class CodeDepth:
    """How many templates remain after each step of a comparison by codes.

    - `by_signs`: those with the fewest signs that differ from the probe's.
    - `by_product`: of these, those with the largest inner product of the probe and their signs. Only cached codes have
      this step.

    The embeddings of the remaining templates are compared.
    """

    by_signs: int
    by_product: int

    def deepened(self, extra: int) -> "CodeDepth":
        """Return the depth with `extra` more templates at each step."""
        return CodeDepth(self.by_signs + extra, self.by_product + extra)


def code_depth(templates: int, min_depth: int) -> CodeDepth:
    """Return the depth for a gallery of this size: 2% by signs, then 0.4% by product, within bounds.

    Neither step is below `min_depth`. With a small recognizer, whose impostor cosines have a standard deviation of 0.1,
    this keeps 0.999 of the mates at a cosine of 0.4 or more (PERFORMANCE.md).
    """
    by_signs = max(min_depth, min(max(templates // 50, 400), 10_000))
    return CodeDepth(by_signs, max(min_depth, min(max(templates // 250, 200), 1_000)))
