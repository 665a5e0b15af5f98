"""Ranks a gallery by subject or by face, with the strategy that fits it, and completes short or tied results.

A strategy looks at a limited number of templates, which can leave two gaps:

- Too few subjects: one subject may own most of the nearest templates.
- A tie at the limit: of several equally similar subjects an arbitrary one would be cut off.

Such probes are repeated: first by re-ranking more codes, then by comparing every template. Both steps decide ties by
external subject id or by sequence number, so results are complete and repeatable.
"""

import asyncio
from collections.abc import Sequence
from typing import Generic
from uuid import UUID

import numpy as np

from app.domain.faces import Embedding
from app.matcher.found import Found, K
from app.matcher.gallery_cache import Cached, GalleryCache
from app.matcher.hnsw.graph import walk_breadth
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.statements import Ranking
from app.matcher.strategy import CodeDepth, GalleryFacts, SearchLimits, Strategy, choose_strategy, code_depth, is_exact

_MAX_CODES_ON_LOOP = 100_000
"""Codes times probes that are compared without a thread, about half a millisecond."""
_MIN_DEPTH = 64


class Ranker(Generic[K]):
    """Ranks the gallery of one snapshot by one key: by subject or by single face."""

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
        self._templates_per_result = ranking.templates_per_result
        self._tenant_id = tenant_id
        self._cache = cache
        self._limits = limits

    async def rank(
        self, probes: Sequence[Embedding], limit: int, using: Strategy | None = None
    ) -> list[list[Found[K]]]:
        """Return the `limit` best keys of each probe; fewer only if the gallery has fewer.

        A probe that needed the fallback may have more results than `limit`, in no particular order. Probes must be
        protected, and rounded by `round_to_half`.
        """
        found, examined = await self._find(probes, limit, using)
        incomplete = [
            index
            for index, results in enumerate(found)
            if _needs_fallback(results, limit, examined, self._facts.templates)
        ]
        if incomplete:
            completed = await self._complete([probes[index] for index in incomplete], limit, examined)
            for index, results in zip(incomplete, completed, strict=True):
                found[index] = _merge(found[index], results)
        return found

    async def _find(
        self, probes: Sequence[Embedding], limit: int, using: Strategy | None
    ) -> tuple[list[list[Found[K]]], int]:
        """Run the chosen strategy; return the results, and how many of the best templates they certainly cover."""
        facts = self._facts
        cached, strategy = self._choose(using)
        depth = _MIN_DEPTH + self._templates_per_result * limit
        if strategy is Strategy.EXACT:
            return await self._statements.exact(facts, probes, limit, depth), depth
        codes = code_depth(facts.templates, depth)
        if strategy is Strategy.CACHED_CODES and cached is not None:
            # Templates deleted since the cache was filled take up places among the nearest, so more are selected.
            nearest = await _find_nearest(cached, probes, codes.deepened(facts.deletions - cached.deletions))
            found = await self._statements.cached_codes(facts.id, probes, limit, nearest, cached.through_seq)
            return found, codes.by_product
        if strategy is Strategy.GRAPH and facts.graph is not None:
            breadth = walk_breadth(self._templates_per_result * limit)
            # A walk may miss templates, so its results cover none for certain.
            return await self._statements.graph(facts.id, probes, limit, facts.graph, breadth), 0
        return await self._statements.codes(facts.id, probes, limit, codes.by_signs), codes.by_signs

    async def _complete(self, probes: Sequence[Embedding], limit: int, examined: int) -> list[list[Found[K]]]:
        """Fallback for short or tied results: re-rank more codes, then scan everything."""
        depth = self._limits.deep
        if examined < depth < self._facts.templates:
            found = await self._statements.deep(self._facts.id, probes, limit, depth)
            if all(len(results) == limit for results in found):
                return found
        return await self._statements.complete(self._facts.id, probes, limit)

    def _choose(self, using: Strategy | None) -> tuple[Cached | None, Strategy]:
        """Choose the strategy and look up the cache, which loads or refreshes the gallery in the background."""
        facts = self._facts
        wants_codes = using is Strategy.CACHED_CODES or (using is None and not is_exact(facts, self._limits))
        cached = None
        if wants_codes or using is None:
            cached = self._cache.look_up(self._tenant_id, facts, wants_codes=wants_codes)
            if cached is not None and facts.deletions - cached.deletions > self._limits.cache_tail:
                cached = None  # too many of its templates are deleted
        through_seq = cached.through_seq if cached is not None else None
        return cached, using or choose_strategy(facts, self._limits, cached_through_seq=through_seq)


def round_to_half(probes: Sequence[Embedding]) -> list[Embedding]:
    """Round probes to half precision, as PostgreSQL compares them, so that both similarities of a candidate agree."""
    return [probe.astype(np.float16).astype(np.float32) for probe in probes]


def _needs_fallback(found: Sequence[Found[K]], limit: int, examined: int, templates: int) -> bool:
    """Return whether results are too few although more templates exist, or tied at the limit."""
    if len(found) < limit:
        return examined < templates
    return len(found) > 1 and found[-1].similarity == found[-2].similarity


async def _find_nearest(cached: Cached, probes: Sequence[Embedding], depth: CodeDepth) -> list[list[int]]:
    def compare() -> list[list[int]]:
        return [cached.nearest(probe, depth).tolist() for probe in probes]

    if len(cached.seqs) * len(probes) <= _MAX_CODES_ON_LOOP:
        return compare()
    return await asyncio.to_thread(compare)


def _merge(first: Sequence[Found[K]], second: Sequence[Found[K]]) -> list[Found[K]]:
    """Return the keys of both results, each with its higher similarity."""
    best: dict[K, Found[K]] = {}
    for found in (*first, *second):
        if found.key not in best or found.similarity > best[found.key].similarity:
            best[found.key] = found
    return list(best.values())
