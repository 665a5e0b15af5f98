"""Search one tenant's galleries: by probe, by stored face or by subject; for subjects or for single faces.

How `TenantSearch.identify` works:

1. If the cache has the whole gallery, it is compared in this process (`cached_gallery.py`). One
   statement then reads the subjects' names and the matched faces, and confirms that nothing in the gallery has changed
   since it was cached (`gallery_version.py`).
2. Otherwise `_open` starts a database snapshot and reads the gallery's facts. The probes are rotated into the form in
   which the templates are stored.
3. `OpenGallery` asks a `Ranker`, which chooses a strategy by the gallery's size and by what is cached (`strategy.py`):
   exact comparison, cached codes, a graph, or codes in PostgreSQL.
4. One statement compares all probes (`statements.py`). With codes it first selects the nearest 512-bit sign codes, then
   re-ranks those templates by their embeddings.
5. Probes with too few results, or with a tie at the limit, are repeated with more templates (`ranking.py`).
6. The subjects found become candidates, with the similarity of their common embedding. Ties are ordered by subject id.

The other searches skip step 1. Subject searches apply no threshold and rank every subject. Face searches, and searches
for named subjects by common embedding, return the best results at or above a minimum similarity.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from app.domain.decisions import EMPTY_SCALE, Candidate, GalleryScale
from app.domain.faces import Embedding
from app.domain.people import FaceCandidate, NamedCandidate
from app.matcher.cached_gallery import CachedGallery, SimilarSubjects
from app.matcher.engine import SearchEngine
from app.matcher.found import Found, FoundSubject, FoundSubjects
from app.matcher.gallery_version import read_candidates
from app.matcher.open_gallery import OpenGallery, describe_candidates
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.ranking import round_to_half
from app.matcher.search import CompareResult, Gallery, IdentifyResult
from app.matcher.similarity import cosine_similarity
from app.matcher.strategy import Strategy
from app.security.template_protection import Protection
from app.telemetry import timed_calls

_MAX_COMPARISONS_ON_LOOP = 20_000
"""Templates times probes that are compared without a thread, in less than a millisecond."""
_MAX_PROBES_AT_ONCE = 128
"""Probes in one matrix product or one statement."""


class TenantSearch:
    """Searches one tenant's galleries; each search reads one snapshot of the database.

    `has_stored_probes` says that the probes are stored embeddings, which are in their protected form already.
    Similarities have the precision of half-precision embeddings, about 1e-4.
    """

    def __init__(self, engine: SearchEngine, tenant_id: UUID, *, has_stored_probes: bool = False) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._has_stored_probes = has_stored_probes

    @timed_calls("search")
    async def identify(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> IdentifyResult:
        """Return the `limit` best subjects of each probe (512,), by most similar template, ties by subject id.

        There are fewer only if the gallery has fewer subjects.
        """
        result = await self.identify_in_memory(gallery, probes, limit)
        return result if result is not None else await self.identify_in_database(gallery, probes, limit)

    @timed_calls("search")
    async def identify_named(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> IdentifyResult:
        """Identify among the named subjects only: every one of their templates is compared."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return IdentifyResult([[] for _ in probes], await opened.read_scale())
            protected = await self._protect(opened.facts.protection, probes)
            return IdentifyResult(await opened.rank_named_subjects(protected, limit), opened.facts.scale)

    async def identify_in_database(
        self, gallery: Gallery, probes: Sequence[Embedding], limit: int, *, using: Strategy | None = None
    ) -> IdentifyResult:
        """Identify in PostgreSQL; `using` forces a strategy, or `CODES` where its cache or graph is missing."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return IdentifyResult([[] for _ in probes], await opened.read_scale())
            ranked = list[list[Candidate]]()
            for batch in _split(probes):
                protected = await self._protect(opened.facts.protection, batch)
                ranked += await opened.rank_subjects(protected, limit, using=using)
            return IdentifyResult(ranked, opened.facts.scale)

    async def identify_in_memory(
        self, gallery: Gallery, probes: Sequence[Embedding], limit: int
    ) -> IdentifyResult | None:
        """Identify from the cache; None unless the whole gallery is cached in its current version."""
        cached = self._engine.cache.find_whole(self._tenant_id, gallery.collection_id, gallery.recognizer)
        if cached is None or not probes:
            return None
        ranked, scale = list[list[Candidate]](), EMPTY_SCALE
        for batch in _split(probes):
            protected = await self._protect(cached.version.protection, batch)
            identified = await self._identify_cached(cached, protected, limit)
            if identified is None:
                return None
            ranked += identified.ranked
            scale = identified.scale
        return IdentifyResult(ranked, scale)

    async def _identify_cached(
        self, cached: CachedGallery, probes: Sequence[Embedding], limit: int
    ) -> IdentifyResult | None:
        probes = round_to_half(probes)
        similar = await _find_similar(cached, probes, limit)
        if similar is None:
            return None
        subject_ids = list(similar.newest)
        seqs = list({result.seq for results in similar.found for result in results})
        named = await read_candidates(self._engine.statements, self._tenant_id, cached.version, subject_ids, seqs)
        if named is None:
            return None
        subjects = {
            subject_id: FoundSubject(
                *names, list(similar.newest[subject_id]), are_reliable=similar.reliable[subject_id].tolist()
            )
            for subject_id, names in zip(subject_ids, named.names, strict=True)
        }
        described = FoundSubjects(subjects, named.faces)
        return IdentifyResult(describe_candidates(probes, similar.found, described, limit), named.scale)

    @timed_calls("search")
    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> CompareResult | None:
        """Compare the probe with one subject; None if it has no template in the gallery."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return None
            (probe,) = await self._protect(opened.facts.protection, [probe])
            compared = await opened.compare_subject(subject_id, probe)
        if compared is None:
            return None
        best, described = compared
        found = Found(subject_id, best.similarity, best.seq)
        (candidate,) = describe_candidates([probe], [[found]], described, 1)[0]
        return CompareResult(candidate, replace(opened.facts.scale, templates=best.templates))

    async def compare_with_face(
        self, gallery: Gallery, face_id: UUID, probes: Sequence[Embedding]
    ) -> tuple[list[float], bool] | None:
        """Return each probe's similarity with a stored face, and whether that is reliable; None if there is none."""
        async with self._open(gallery) as opened:
            face = None if opened.is_empty else await opened.read_face(face_id)
            if face is None:
                return None
            protected = await self._protect(opened.facts.protection, probes)
            return [cosine_similarity(probe, face.embedding) for probe in protected], face.is_reliable

    @timed_calls("search")
    async def subjects_like_face(
        self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int
    ) -> IdentifyResult | None:
        """Return the other subjects most similar to a subject's stored face; None if there is no such face."""
        async with self._open(gallery) as opened:
            face = None if opened.is_empty else await opened.read_face(face_id)
            if face is None or face.subject_id != subject_id:
                return None
            ranked = await opened.rank_subjects([face.embedding], limit, exclude=subject_id)
            return IdentifyResult(ranked, opened.facts.scale, face.is_reliable)

    @timed_calls("search")
    async def subjects_like_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> IdentifyResult | None:
        """Return the other subjects most similar to a subject's common embedding; None if it has no templates."""
        async with self._open(gallery) as opened:
            common = None if opened.is_empty else await opened.read_common_embedding(subject_id)
            if common is None:
                return None
            probe, is_reliable = common
            ranked = await opened.rank_subjects([probe], limit, exclude=subject_id)
            return IdentifyResult(ranked, opened.facts.scale, is_reliable)

    @timed_calls("search")
    async def faces_like(
        self, gallery: Gallery, probe: Embedding, limit: int, min_similarity: float
    ) -> list[FaceCandidate]:
        """Return the stored faces at or above `min_similarity` with the probe, best first, at most `limit`."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return []
            (probe,) = await self._protect(opened.facts.protection, [probe])
            return await opened.find_faces(probe, limit, min_similarity)

    async def read_scale(self, gallery: Gallery) -> GalleryScale:
        """Return what the thresholds of a search of the gallery depend on."""
        async with self._open(gallery) as opened:
            return await opened.read_scale() if opened.is_empty else opened.facts.scale

    @timed_calls("search")
    async def all_faces_like(
        self, gallery: Gallery, probes: Sequence[Embedding], min_similarity: float
    ) -> list[list[FaceCandidate]]:
        """Return for each probe every stored face at or above `min_similarity`, best first."""
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return [[] for _ in probes]
            protected = await self._protect(opened.facts.protection, probes)
            return [await opened.find_all_faces(probe, min_similarity) for probe in protected]

    @timed_calls("search")
    async def faces_like_face(
        self, gallery: Gallery, face_id: UUID, limit: int, min_similarity: float
    ) -> list[FaceCandidate] | None:
        """Return the other stored faces similar to a stored face; None if the gallery has no such face.

        A face of too low quality resembles nobody.
        """
        async with self._open(gallery) as opened:
            stored = None if opened.is_empty else await opened.read_face(face_id)
            if stored is None:
                return None
            if not stored.is_reliable:
                return []
            return await opened.find_faces(stored.embedding, limit, min_similarity, exclude=stored.seq)

    @timed_calls("search")
    async def named_subjects_like(
        self, gallery: Gallery, probe: Embedding, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """Return the named subjects whose common embedding is at or above `min_similarity` with the probe, best first.

        Anonymous subjects are never returned, however many of their faces are more similar.
        """
        async with self._open(gallery) as opened:
            if opened.is_empty:
                return []
            (probe,) = await self._protect(opened.facts.protection, [probe])
            return await opened.find_named_subjects(probe, limit, min_similarity)

    @timed_calls("search")
    async def named_subjects_like_face(
        self, gallery: Gallery, face_id: UUID, limit: int, min_similarity: float
    ) -> list[NamedCandidate] | None:
        """Return the named subjects similar to a stored face; None if the gallery has no such face.

        A face of too low quality resembles nobody.
        """
        async with self._open(gallery) as opened:
            stored = None if opened.is_empty else await opened.read_face(face_id)
            if stored is None:
                return None
            if not stored.is_reliable:
                return []
            return await opened.find_named_subjects(stored.embedding, limit, min_similarity)

    @timed_calls("search")
    async def named_subjects_like_subject(
        self, gallery: Gallery, subject_id: UUID, limit: int, min_similarity: float
    ) -> list[NamedCandidate]:
        """Return the other named subjects similar to a subject's common embedding; empty if it has no templates."""
        async with self._open(gallery) as opened:
            common = None if opened.is_empty else await opened.read_common_embedding(subject_id)
            if common is None:
                return []
            probe, is_reliable = common
            if not is_reliable:
                return []
            return await opened.find_named_subjects(probe, limit, min_similarity, exclude=subject_id)

    @asynccontextmanager
    async def _open(self, gallery: Gallery) -> AsyncIterator[OpenGallery]:
        async with self._engine.snapshots.snapshot(self._tenant_id) as connection:
            statements = GalleryStatements(connection, self._tenant_id)
            facts = await statements.read_facts(gallery)
            yield OpenGallery(self._engine, self._tenant_id, gallery, statements, facts)

    async def _protect(self, protection: Protection, probes: Sequence[Embedding]) -> Sequence[Embedding]:
        """Return the probes in the form in which the gallery's templates are stored."""
        if self._has_stored_probes:
            return probes
        return await self._engine.protector.protect(self._tenant_id, protection, probes)


def _split(probes: Sequence[Embedding]) -> list[Sequence[Embedding]]:
    size = _MAX_PROBES_AT_ONCE
    return [probes[start : start + size] for start in range(0, len(probes), size)]


async def _find_similar(cached: CachedGallery, probes: Sequence[Embedding], limit: int) -> SimilarSubjects | None:
    if len(cached.seqs) * len(probes) <= _MAX_COMPARISONS_ON_LOOP:
        return cached.find_similar(probes, limit)
    return await asyncio.to_thread(cached.find_similar, probes, limit)
