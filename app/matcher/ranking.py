"""One ranking of one gallery: picks the strategy for it and for the search, and makes every one of them complete."""

import asyncio
from collections.abc import Sequence
from typing import Generic
from uuid import UUID

import numpy as np

from app.domain.faces import Embedding
from app.matcher.found import Found, K
from app.matcher.gallery_cache import Cached, GalleryCache
from app.matcher.hnsw.graph import walk_breadth
from app.matcher.pgvector_search import GalleryStatements, Ranking
from app.matcher.strategy import CodeDepth, GalleryFacts, SearchLimits, Strategy, choose_strategy, code_depth, is_exact

_ON_THE_LOOP = 100_000  # codes to compare, about half a millisecond; more go to a thread
_MIN_DEPTH = 64


class Ranker(Generic[K]):
    """Ranks a gallery, as one snapshot of the database shows it, by subjects or by single faces."""

    def __init__(
        self,
        statements: GalleryStatements,
        facts: GalleryFacts,
        ranking: Ranking[K],
        *,
        tenant_id: UUID,
        cache: GalleryCache,
        limits: SearchLimits,
    ) -> None:
        self._statements = statements.ranked_by(ranking)
        self._facts = facts
        self._depth_each = ranking.depth_each
        self._tenant_id = tenant_id
        self._cache = cache
        self._limits = limits

    async def best(
        self, probes: Sequence[Embedding], wanted: int, using: Strategy | None = None
    ) -> list[list[Found[K]]]:
        """For each probe the `wanted` best, in no order where they are tied at the end; fewer only if there are fewer.

        Probes are protected and rounded as what they are compared with is stored.
        """
        found, examined = await self._find(probes, wanted, using)
        open_ones = [index for index, own in enumerate(found) if _is_open(own, wanted, examined, self._facts.templates)]
        if open_ones:
            settled = await self._settle([probes[index] for index in open_ones], wanted, examined)
            for index, own in zip(open_ones, settled, strict=True):
                found[index] = _union(found[index], own)
        return found

    async def _find(
        self, probes: Sequence[Embedding], wanted: int, using: Strategy | None
    ) -> tuple[list[list[Found[K]]], int]:
        """The best, and among how many templates at least they are."""
        facts = self._facts
        cached, strategy = self._choose(using)
        depth = _MIN_DEPTH + self._depth_each * wanted
        if strategy is Strategy.EXACT:
            return await self._statements.exact(facts, probes, wanted, depth), depth
        codes = code_depth(facts.templates, depth)
        if strategy is Strategy.CACHED_CODES and cached is not None:
            # Places whose template is gone since stand among the nearest and find nobody: so many more are taken.
            nearest = await _nearest(cached, probes, codes.deeper_by(facts.deletions - cached.deletions))
            found = await self._statements.cached_codes(facts.id, probes, wanted, nearest, cached.upto)
            return found, codes.by_product
        if strategy is Strategy.GRAPH and facts.graph is not None:
            breadth = walk_breadth(self._depth_each * wanted)
            # A walk may miss some of the few there are: what it examined says nothing of the rest.
            return await self._statements.graph(facts.id, probes, wanted, facts.graph, breadth), 0
        return await self._statements.codes(facts.id, probes, wanted, codes.by_signs), codes.by_signs

    async def _settle(self, probes: Sequence[Embedding], wanted: int, examined: int) -> list[list[Found[K]]]:
        """What the usual depth could not answer: first deeper by codes, then, if that is too little, by everything."""
        depth = self._limits.deep
        if examined < depth < self._facts.templates:
            found = await self._statements.deep(self._facts.id, probes, wanted, depth)
            if all(len(own) == wanted for own in found):
                return found
        return await self._statements.complete(self._facts.id, probes, wanted)

    def _choose(self, using: Strategy | None) -> tuple[Cached | None, Strategy]:
        facts = self._facts
        wants_codes = using is Strategy.CACHED_CODES or (using is None and not is_exact(facts, self._limits))
        cached = None
        if wants_codes or using is None:
            cached = self._cache.look_up(self._tenant_id, facts, wants_codes=wants_codes)
            if cached is not None and facts.deletions - cached.deletions > self._limits.cache_tail:
                cached = None  # mostly of what is gone
        upto = cached.upto if cached is not None else None
        return cached, using or choose_strategy(facts, self._limits, cached_upto=upto)


def as_stored(probes: Sequence[Embedding]) -> list[Embedding]:
    """Rounded as templates are, so that both similarities of a candidate are of the same numbers."""
    return [probe.astype(np.float16).astype(np.float32) for probe in probes]


def _is_open(found: Sequence[Found[K]], wanted: int, examined: int, templates: int) -> bool:
    """Whether some may be missing: too few although there are more templates, or a tie where the limit cuts."""
    if len(found) < wanted:
        return examined < templates
    return len(found) > 1 and found[-1].similarity == found[-2].similarity


async def _nearest(cached: Cached, probes: Sequence[Embedding], depth: CodeDepth) -> list[list[int]]:
    def compare() -> list[list[int]]:
        return [cached.nearest(probe, depth).tolist() for probe in probes]

    if len(cached.seqs) * len(probes) <= _ON_THE_LOOP:
        return compare()
    return await asyncio.to_thread(compare)


def _union(one: Sequence[Found[K]], other: Sequence[Found[K]]) -> list[Found[K]]:
    """Every one of both, each with the better of its similarities."""
    best: dict[K, float] = {}
    for key, similarity in (*one, *other):
        best[key] = max(similarity, best.get(key, similarity))
    return [Found(key, similarity) for key, similarity in best.items()]
