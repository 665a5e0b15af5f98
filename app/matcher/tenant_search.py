"""Search one tenant's galleries: by probes, by a stored face, by a subject; for subjects or for single faces.

Small galleries are compared in this process's memory when the cache holds them, all others in PostgreSQL; the caller
cannot tell the difference. Subject searches apply no threshold and rank everybody. Face searches, and searches for
named subjects as a whole, return everything at or above a minimum similarity.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from app.domain.decisions import EMPTY, Candidate
from app.domain.faces import Embedding
from app.domain.people import FaceCandidate, NamedCandidate
from app.matcher.cached_gallery import CachedGallery, Resembling
from app.matcher.engine import SearchEngine
from app.matcher.found import Found, Person
from app.matcher.gallery_version import name_subjects
from app.matcher.open_gallery import OpenGallery, describe_candidates
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.ranking import as_stored
from app.matcher.search import Compared, Gallery, Identified
from app.matcher.strategy import Strategy
from app.security.template_protection import Protection
from app.telemetry import timed

_MAX_TEMPLATES_ON_THE_LOOP = 10_000
"""Templates times probes that are compared without a thread: about a millisecond."""
_MAX_PROBES_AT_A_TIME = 128
"""In one matrix product or one statement."""


class TenantSearch:
    """Searches through one tenant's galleries, each in one snapshot of the database.

    `has_stored_probes` says that probes are stored embeddings, which are protected already.
    """

    def __init__(self, engine: SearchEngine, tenant_id: UUID, *, has_stored_probes: bool = False) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._has_stored_probes = has_stored_probes

    async def identify(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> Identified:
        """For each probe the `limit` best subjects, by their most similar template, ties by subject id.

        There are fewer only if the gallery has fewer subjects. Similarities carry the rounding of half precision, about
        1e-4.
        """
        with timed("search"):
            found = await self.identify_in_memory(gallery, probes, limit)
            return found if found is not None else await self.identify_in_database(gallery, probes, limit)

    async def identify_in_database(
        self, gallery: Gallery, probes: Sequence[Embedding], limit: int, *, using: Strategy | None = None
    ) -> Identified:
        """`identify` in PostgreSQL; `using` requests a strategy, and codes are compared where it is unavailable."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return Identified([[] for _ in probes], await opened.read_scale())
            ranked = list[list[Candidate]]()
            for part in _in_parts(probes):
                protected = await self._protect(opened.facts.protection, part)
                ranked += await opened.rank_subjects(protected, limit, using=using)
            return Identified(ranked, opened.facts.scale)

    async def identify_in_memory(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> Identified | None:
        """`identify` from the cache; None unless the whole gallery is cached in its current version."""
        cached = self._engine.cache.find_whole(self._tenant_id, gallery.collection_id, gallery.recognizer)
        if cached is None or not probes:
            return None
        ranked, scale = list[list[Candidate]](), EMPTY
        for part in _in_parts(probes):
            identified = await self._identify_cached(
                cached, await self._protect(cached.version.protection, part), limit
            )
            if identified is None:
                return None
            ranked += identified.ranked
            scale = identified.scale
        return Identified(ranked, scale)

    async def _identify_cached(
        self, cached: CachedGallery, probes: Sequence[Embedding], limit: int
    ) -> Identified | None:
        probes = as_stored(probes)
        best = await _best(cached, probes, limit)
        if best is None:
            return None
        subject_ids = list(best.newest)
        named = await name_subjects(self._engine.statements, self._tenant_id, cached.version, subject_ids)
        if named is None:
            return None
        people = {
            subject_id: Person(*name, list(best.newest[subject_id]))
            for subject_id, name in zip(subject_ids, named.names, strict=True)
        }
        return Identified(describe_candidates(probes, best.found, people, limit), named.scale)

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> Compared | None:
        """One subject as a candidate; None if it has no template in the gallery."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return None
            (probe,) = await self._protect(opened.facts.protection, [probe])
            best, people = await opened.compare_subject(subject_id, probe)
        if best is None:
            return None
        (candidate,) = describe_candidates([probe], [[Found(subject_id, best.similarity)]], people, 1)[0]
        return Compared(candidate, replace(opened.facts.scale, templates=best.templates))

    async def subjects_like_face(
        self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int
    ) -> Identified | None:
        """Other subjects most similar to a subject's stored face; None if there is no such face."""
        async with self._open(gallery) as opened:
            face = None if opened.is_empty else await opened.read_face(face_id)
            if face is None or face.subject_id != subject_id:
                return None
            ranked = await opened.rank_subjects([face.embedding], limit, exclude=subject_id)
            return Identified(ranked, opened.facts.scale)

    async def subjects_like_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> Identified | None:
        """Other subjects most similar to a subject's common embedding; None if it has no templates."""
        async with self._open(gallery) as opened:
            probe = None if opened.is_empty else await opened.read_common_embedding(subject_id)
            if probe is None:
                return None
            ranked = await opened.rank_subjects([probe], limit, exclude=subject_id)
            return Identified(ranked, opened.facts.scale)

    async def faces_like(
        self, gallery: Gallery, probe: Embedding, limit: int, min_similarity: float
    ) -> list[FaceCandidate]:
        """The stored faces at or above a similarity with the probe, best first, at most `limit`."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return []
            (probe,) = await self._protect(opened.facts.protection, [probe])
            return await opened.find_faces(probe, limit, min_similarity)

    async def faces_like_face(
        self, gallery: Gallery, face_id: UUID, limit: int, min_similarity: float
    ) -> list[FaceCandidate] | None:
        """The same for a stored face, without itself; None if the gallery has no such face."""
        async with self._open(gallery) as opened:
            stored = None if opened.is_empty else await opened.read_face(face_id)
            if stored is None:
                return None
            return await opened.find_faces(stored.embedding, limit, min_similarity, exclude=stored.place)

    async def named_subjects_like(
        self, gallery: Gallery, probe: Embedding, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """The named subjects whose common embedding is at or above a similarity with the probe, best first."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return []
            (probe,) = await self._protect(opened.facts.protection, [probe])
            return await opened.find_named_subjects(probe, limit, min_similarity)

    async def named_subjects_like_face(
        self, gallery: Gallery, face_id: UUID, limit: int, min_similarity: float
    ) -> list[NamedCandidate] | None:
        """The same for a stored face; None if the gallery has no such face."""
        async with self._open(gallery) as opened:
            stored = None if opened.is_empty else await opened.read_face(face_id)
            if stored is None:
                return None
            return await opened.find_named_subjects(stored.embedding, limit, min_similarity)

    async def named_subjects_like_subject(
        self, gallery: Gallery, subject_id: UUID, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """The same for a subject's common embedding, without the subject; empty if it has no faces."""
        async with self._open(gallery) as opened:
            probe = None if opened.is_empty else await opened.read_common_embedding(subject_id)
            if probe is None:
                return []
            return await opened.find_named_subjects(probe, limit, min_similarity, exclude=subject_id)

    @asynccontextmanager
    async def _open(self, gallery: Gallery) -> AsyncIterator[OpenGallery]:
        async with self._engine.snapshots.snapshot(self._tenant_id) as connection:
            statements = GalleryStatements(connection, self._tenant_id)
            facts = await statements.read_facts(gallery)
            yield OpenGallery(self._engine, self._tenant_id, gallery, statements, facts)

    async def _protect(self, protection: Protection, probes: Sequence[Embedding]) -> Sequence[Embedding]:
        """The probes in the form that the templates are stored in."""
        if self._has_stored_probes:
            return probes
        return await self._engine.protector.protect(self._tenant_id, protection, probes)


def _in_parts(probes: Sequence[Embedding]) -> list[Sequence[Embedding]]:
    size = _MAX_PROBES_AT_A_TIME
    return [probes[start : start + size] for start in range(0, len(probes), size)]


async def _best(cached: CachedGallery, probes: Sequence[Embedding], limit: int) -> Resembling | None:
    if len(cached.seqs) * len(probes) <= _MAX_TEMPLATES_ON_THE_LOOP:
        return cached.best(probes, limit)
    return await asyncio.to_thread(cached.best, probes, limit)
