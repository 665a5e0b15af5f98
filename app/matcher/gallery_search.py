"""The search of the service: subjects, the best first; in this process's memory where it can be, else in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from app.domain import EMPTY, Candidate, Embedding
from app.matcher.cached_gallery import CachedGallery, Resembling
from app.matcher.found import Found, Person
from app.matcher.gallery_cache import GalleryCache
from app.matcher.gallery_version import name_subjects
from app.matcher.pgvector_search import BY_SUBJECT, GalleryStatements
from app.matcher.ranking import Ranker, as_stored
from app.matcher.search import Compared, Gallery, Identified, rank
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.strategy import GalleryFacts, SearchLimits, Strategy
from app.matcher.subject_similarity import common_embedding
from app.persistence.connections.snapshots import SearchPool
from app.persistence.template_protector import TemplateProtector
from app.security.template_protection import Protection

_TEMPLATES_ON_THE_LOOP = 10_000  # to compare whole, about a millisecond
_PROBES_AT_A_TIME = 128  # in one product or statement
_PEOPLE_ON_THE_LOOP = 300  # to average the templates of, about 10 ms


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

    async def identify(
        self, gallery: Gallery, probes: Sequence[Embedding], limit: int, *, using: Strategy | None = None
    ) -> Identified:
        """As `GallerySearch.identify`; similarities carry the rounding of half precision, about 1e-4.

        `using` asks for one strategy; where it is not at hand, the codes in the database serve.
        """
        async with self._opened(gallery) as (statements, facts):
            if facts is None:
                return Identified([[] for _ in probes], await statements.read_empty(gallery))
            found = []
            for some in _in_parts(await self._protect(facts.protection, probes)):
                found += await self._search(statements, facts, some, limit, using=using)
            return Identified(found, facts.scale)

    async def search(
        self, gallery: Gallery, probes: Sequence[Embedding], limit: int, *, using: Strategy | None = None
    ) -> list[list[Candidate]]:
        """The candidates of `identify` alone."""
        return (await self.identify(gallery, probes, limit, using=using)).ranked

    async def identify_cached(
        self, collection: str, recognizer: str, probes: Sequence[Embedding], limit: int
    ) -> Identified | None:
        """As `GallerySearch.identify_cached`: all in this process but the subjects' names, in one round trip."""
        cached = self._engine.cache.find_whole(self._tenant_id, collection, recognizer)
        if cached is None or not probes:
            return None
        found, scale = list[list[Candidate]](), EMPTY
        for some in _in_parts(await self._protect(cached.version.protection, probes)):
            identified = await self._search_whole(cached, some, limit)
            if identified is None:
                return None
            found += identified.ranked
            scale = identified.scale
        return Identified(found, scale)

    async def _search_whole(self, cached: CachedGallery, probes: Sequence[Embedding], limit: int) -> Identified | None:
        probes = as_stored(probes)
        best = await _best(cached, probes, limit)
        if best is None:
            return None
        subject_ids = list(best.newest)
        named = await name_subjects(self._engine.pool, self._tenant_id, cached.version, subject_ids)
        if named is None:
            return None
        people = {
            subject_id: Person(*name, list(best.newest[subject_id]))
            for subject_id, name in zip(subject_ids, named.names, strict=True)
        }
        return Identified(_describe(probes, best.found, people, limit), named.scale)

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> Compared | None:
        """As `GallerySearch.compare`."""
        async with self._opened(gallery) as (statements, facts):
            if facts is None:
                return None
            (probe,) = await self._protect(facts.protection, [probe])
            best = await statements.best_of_subject(facts.id, subject_id, probe)
            people = await statements.read_people(facts.id, [subject_id])
        if best is None:
            return None
        (candidate,) = _describe([probe], [[Found(subject_id, best.similarity)]], people, 1)[0]
        return Compared(candidate, replace(facts.scale, templates=best.templates))

    async def resembling_face(self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int) -> Identified | None:
        """As `GallerySearch.resembling_face`."""
        async with self._opened(gallery) as (statements, facts):
            face = await statements.read_face(facts.id, face_id) if facts is not None else None
            if facts is None or face is None or face.subject_id != subject_id:
                return None
            found = await self._search(statements, facts, [face.embedding], limit, but=subject_id)
            return Identified(found, facts.scale)

    async def resembling_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> Identified | None:
        """As `GallerySearch.resembling_subject`."""
        async with self._opened(gallery) as (statements, facts):
            people = await statements.read_people(facts.id, [subject_id]) if facts is not None else {}
            if facts is None or not people:
                return None
            probe = common_embedding(people[subject_id].embeddings)
            found = await self._search(statements, facts, [probe], limit, but=subject_id)
            return Identified(found, facts.scale)

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
        probes = as_stored(probes)
        ranker = Ranker(
            statements,
            facts,
            BY_SUBJECT,
            tenant_id=self._tenant_id,
            cache=self._engine.cache,
            limits=self._engine.limits,
        )
        # One more than asked for shows whether the last place is tied; one more still stands in for who is left out.
        found = await ranker.best(probes, limit + 1 + (but is not None), using)
        found = [[one for one in own if one.key != but] for own in found]
        people = await statements.read_people(facts.id, list({one.key for own in found for one in own}))
        if len(people) <= _PEOPLE_ON_THE_LOOP:
            return _describe(probes, found, people, limit)
        return await asyncio.to_thread(_describe, probes, found, people, limit)


def _in_parts(probes: Sequence[Embedding]) -> list[Sequence[Embedding]]:
    return [probes[start : start + _PROBES_AT_A_TIME] for start in range(0, len(probes), _PROBES_AT_A_TIME)]


async def _best(cached: CachedGallery, probes: Sequence[Embedding], limit: int) -> Resembling | None:
    if len(cached.seqs) * len(probes) <= _TEMPLATES_ON_THE_LOOP:
        return cached.best(probes, limit)
    return await asyncio.to_thread(cached.best, probes, limit)


def _describe(
    probes: Sequence[Embedding], found: Sequence[Sequence[Found[UUID]]], people: Mapping[UUID, Person], limit: int
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
