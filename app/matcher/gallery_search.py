"""The search of the service: picks a strategy for each gallery and search, and makes every one of them complete."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import numpy as np

from app.domain import Candidate, Embedding
from app.matcher.cached_gallery import CachedGallery, Resembling
from app.matcher.gallery_cache import Cached, GalleryCache
from app.matcher.pgvector_search import Found, GalleryStatements, Person, name_subjects
from app.matcher.search import Gallery, rank
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.strategy import CodeDepth, GalleryFacts, SearchLimits, Strategy, choose_strategy, code_depth, is_exact
from app.matcher.subject_similarity import common_embedding
from app.persistence.protector import TemplateProtector
from app.persistence.search_pool import SearchPool
from app.security.template_protection import Protection

_ON_THE_LOOP = 100_000  # codes to compare, about half a millisecond; more go to a thread
_TEMPLATES_ON_THE_LOOP = 10_000  # to compare whole, about a millisecond
_PROBES_AT_A_TIME = 128  # in one product or statement
_PEOPLE_ON_THE_LOOP = 300  # to average the templates of, about 10 ms
_LEAST_DEPTH, _DEPTH_A_CANDIDATE = 64, 8
_LEAST_BREADTH, _MOST_BREADTH = 400, 1_000  # of a walk through a graph; pgvector allows 1000


class SearchEngine:
    """What all searches of a process share."""

    def __init__(
        self, pool: SearchPool, cache: GalleryCache, limits: SearchLimits, protector: TemplateProtector
    ) -> None:
        self.protector = protector
        self.pool = pool
        self.cache = cache
        self.limits = limits

    def for_tenant(self, tenant_id: UUID, *, has_stored_probes: bool = False) -> "PostgresSearch":
        """The search through one tenant's galleries.

        With `has_stored_probes` for probes that were made of stored embeddings, which are protected already.
        """
        return PostgresSearch(self, tenant_id, has_stored_probes=has_stored_probes)

    async def close(self) -> None:
        """Close both pools."""
        await self.cache.close()
        await self.pool.close()


class PostgresSearch:
    """`GallerySearch` through one tenant's galleries, each search in one snapshot of the database."""

    def __init__(self, engine: SearchEngine, tenant_id: UUID, *, has_stored_probes: bool = False) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._has_stored_probes = has_stored_probes

    async def search(
        self, gallery: Gallery, probes: Sequence[Embedding], limit: int, *, using: Strategy | None = None
    ) -> list[list[Candidate]]:
        """As `GallerySearch.search`; similarities carry the rounding of half precision, about 1e-4.

        `using` asks for one strategy; where it is not at hand, the codes in the database serve.
        """
        if not probes:
            return []
        async with self._opened(gallery) as (statements, facts):
            if facts is None:
                return [[] for _ in probes]
            found = []
            for some in _in_parts(await self._protect(facts.protection, probes)):
                found += await self._search(statements, facts, some, limit, using=using)
            return found

    async def search_cached(
        self, collection: str, recognizer: str, probes: Sequence[Embedding], limit: int
    ) -> list[list[Candidate]] | None:
        """As `GallerySearch.search_cached`: all in this process but the subjects' names, which take one round trip."""
        cached = self._engine.cache.find_whole(self._tenant_id, collection, recognizer)
        if cached is None or not probes:
            return None
        found = list[list[Candidate]]()
        for some in _in_parts(await self._protect(cached.version.protection, probes)):
            candidates = await self._search_whole(cached, some, limit)
            if candidates is None:
                return None
            found += candidates
        return found

    async def _search_whole(
        self, cached: CachedGallery, probes: Sequence[Embedding], limit: int
    ) -> list[list[Candidate]] | None:
        probes = _as_stored(probes)
        best = await _best(cached, probes, limit)
        if best is None:
            return None
        subject_ids = list(best.newest)
        names = await name_subjects(self._engine.pool, self._tenant_id, cached.version, subject_ids)
        if names is None:
            return None
        people = {
            subject_id: Person(*name, list(best.newest[subject_id]))
            for subject_id, name in zip(subject_ids, names, strict=True)
        }
        return _describe(probes, best.found, people, limit)

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> Candidate | None:
        """As `GallerySearch.compare`."""
        async with self._opened(gallery) as (statements, facts):
            if facts is None:
                return None
            (probe,) = await self._protect(facts.protection, [probe])
            similarity = await statements.best_of_subject(facts.id, subject_id, probe)
            people = await statements.read_people(facts.id, [subject_id])
        if similarity is None:
            return None
        return _describe([probe], [[Found(subject_id, similarity)]], people, 1)[0][0]

    async def resembling_face(
        self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int
    ) -> list[Candidate] | None:
        """As `GallerySearch.resembling_face`."""
        async with self._opened(gallery) as (statements, facts):
            embedding = await statements.read_face(facts.id, subject_id, face_id) if facts is not None else None
            if facts is None or embedding is None:
                return None
            return (await self._search(statements, facts, [embedding], limit, but=subject_id))[0]

    async def resembling_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> list[Candidate] | None:
        """As `GallerySearch.resembling_subject`."""
        async with self._opened(gallery) as (statements, facts):
            people = await statements.read_people(facts.id, [subject_id]) if facts is not None else {}
            if facts is None or not people:
                return None
            probe = common_embedding(people[subject_id].embeddings)
            return (await self._search(statements, facts, [probe], limit, but=subject_id))[0]

    async def _protect(self, protection: Protection, probes: Sequence[Embedding]) -> Sequence[Embedding]:
        """The probes as what they are compared with is stored."""
        if self._has_stored_probes:
            return probes
        return await self._engine.protector.protect(self._tenant_id, protection, probes)

    @asynccontextmanager
    async def _opened(self, gallery: Gallery) -> AsyncIterator[tuple[GalleryStatements, GalleryFacts | None]]:
        async with self._engine.pool.snapshot(self._tenant_id) as connection:
            statements = GalleryStatements(connection, self._tenant_id)
            yield statements, await statements.read_facts(gallery)

    async def _search(
        self,
        statements: GalleryStatements,
        facts: GalleryFacts,
        probes: Sequence[Embedding],
        limit: int,
        *,
        but: UUID | None = None,
        using: Strategy | None = None,
    ) -> list[list[Candidate]]:
        probes = _as_stored(probes)
        # One more than asked for shows whether the last place is tied; one more still stands in for who is left out.
        wanted = limit + 1 + (but is not None)
        found, examined = await self._find(statements, facts, probes, wanted, using)
        open_ones = [index for index, own in enumerate(found) if _is_open(own, wanted, examined, facts.templates)]
        if open_ones:
            settled = await self._settle(statements, facts, [probes[index] for index in open_ones], wanted, examined)
            for index, own in zip(open_ones, settled, strict=True):
                found[index] = _union(found[index], own)
        found = [[one for one in own if one.subject_id != but] for own in found]
        people = await statements.read_people(facts.id, list({one.subject_id for own in found for one in own}))
        if len(people) <= _PEOPLE_ON_THE_LOOP:
            return _describe(probes, found, people, limit)
        return await asyncio.to_thread(_describe, probes, found, people, limit)

    async def _find(
        self,
        statements: GalleryStatements,
        facts: GalleryFacts,
        probes: Sequence[Embedding],
        wanted: int,
        using: Strategy | None,
    ) -> tuple[list[list[Found]], int]:
        """The best subjects, and among how many templates at least they are."""
        cached, strategy = self._choose(facts, using)
        depth = _LEAST_DEPTH + _DEPTH_A_CANDIDATE * wanted
        if strategy is Strategy.EXACT:
            return await statements.exact(facts, probes, wanted, depth), depth
        codes = code_depth(facts.templates, depth)
        if strategy is Strategy.CACHED_CODES and cached is not None:
            # Places whose template was erased since stand among the nearest and find nobody: so many more are taken.
            nearest = await _nearest(cached, probes, codes.deeper_by(facts.deletions - cached.deletions))
            return await statements.cached_codes(facts.id, probes, wanted, nearest, cached.upto), codes.by_product
        if strategy is Strategy.GRAPH and facts.graph is not None:
            breadth = min(max(_LEAST_BREADTH, _DEPTH_A_CANDIDATE * wanted), _MOST_BREADTH)
            # A walk may miss some of the few there are: what it examined says nothing of the rest.
            return await statements.graph(facts.id, probes, wanted, facts.graph, breadth), 0
        return await statements.codes(facts.id, probes, wanted, codes.by_signs), codes.by_signs

    async def _settle(
        self,
        statements: GalleryStatements,
        facts: GalleryFacts,
        probes: Sequence[Embedding],
        wanted: int,
        examined: int,
    ) -> list[list[Found]]:
        """What the usual depth could not answer: first deeper by codes, then, if that is too little, by everything."""
        depth = self._engine.limits.deep
        if examined < depth < facts.templates:
            found = await statements.deep(facts.id, probes, wanted, depth)
            if all(len(own) == wanted for own in found):
                return found
        return await statements.complete(facts.id, probes, wanted)

    def _choose(self, facts: GalleryFacts, using: Strategy | None) -> tuple[Cached | None, Strategy]:
        wants_codes = using is Strategy.CACHED_CODES or (using is None and not is_exact(facts, self._engine.limits))
        cached = None
        if wants_codes or using is None:
            cached = self._engine.cache.look_up(self._tenant_id, facts, wants_codes=wants_codes)
            if cached is not None and facts.deletions - cached.deletions > self._engine.limits.cache_tail:
                cached = None  # mostly of the erased
        upto = cached.upto if cached is not None else None
        return cached, using or choose_strategy(facts, self._engine.limits, cached_upto=upto)


def _is_open(found: Sequence[Found], wanted: int, examined: int, templates: int) -> bool:
    """Whether subjects may be missing: too few although there are more templates, or a tie where the limit cuts."""
    if len(found) < wanted:
        return examined < templates
    return found[-1].similarity == found[-2].similarity


def _as_stored(probes: Sequence[Embedding]) -> list[Embedding]:
    """Rounded as templates are, so that both similarities of a candidate are of the same numbers."""
    return [probe.astype(np.float16).astype(np.float32) for probe in probes]


def _in_parts(probes: Sequence[Embedding]) -> list[Sequence[Embedding]]:
    return [probes[start : start + _PROBES_AT_A_TIME] for start in range(0, len(probes), _PROBES_AT_A_TIME)]


async def _best(cached: CachedGallery, probes: Sequence[Embedding], limit: int) -> Resembling | None:
    if len(cached.seqs) * len(probes) <= _TEMPLATES_ON_THE_LOOP:
        return cached.best(probes, limit)
    return await asyncio.to_thread(cached.best, probes, limit)


async def _nearest(cached: Cached, probes: Sequence[Embedding], depth: CodeDepth) -> list[list[int]]:
    def compare() -> list[list[int]]:
        return [cached.nearest(probe, depth).tolist() for probe in probes]

    if len(cached.seqs) * len(probes) <= _ON_THE_LOOP:
        return compare()
    return await asyncio.to_thread(compare)


def _union(one: Sequence[Found], other: Sequence[Found]) -> list[Found]:
    """Every subject of both, each with the better of its similarities."""
    best: dict[UUID, float] = {}
    for subject_id, similarity in (*one, *other):
        best[subject_id] = max(similarity, best.get(subject_id, similarity))
    return [Found(subject_id, similarity) for subject_id, similarity in best.items()]


def _describe(
    probes: Sequence[Embedding], found: Sequence[Sequence[Found]], people: Mapping[UUID, Person], limit: int
) -> list[list[Candidate]]:
    """The subjects found for each probe as candidates, the best first."""
    whole = {subject_id: common_embedding(person.embeddings) for subject_id, person in people.items()}
    return [
        rank(
            [
                Candidate(
                    people[subject_id].subject, people[subject_id].name, clip_similarity(similarity),
                    cosine_similarity(probe, whole[subject_id]),
                )
                for subject_id, similarity in own
            ],
            limit,
        )
        for probe, own in zip(probes, found, strict=True)
    ]  # fmt: skip
