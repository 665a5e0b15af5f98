"""One gallery in one snapshot of the database: ranks, filters and describes what a search finds.

Probes must be in the form in which the gallery's templates are stored (`TemplateProtector.protect`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from app.domain.decisions import Candidate, GalleryScale
from app.domain.faces import Embedding
from app.domain.people import FaceCandidate, NamedCandidate
from app.matcher.cached_gallery import CachedGallery
from app.matcher.engine import SearchEngine
from app.matcher.found import BestTemplate, FaceRow, Found, FoundSubject, FoundSubjects, K
from app.matcher.pgvector_search import GalleryStatements
from app.matcher.ranking import Ranker, round_to_half
from app.matcher.search import Gallery, rank
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.statements import BY_FACE, BY_SUBJECT, Ranking
from app.matcher.strategy import GalleryFacts, Strategy
from app.matcher.subject_similarity import common_embedding

_MAX_SUBJECTS_ON_LOOP = 300
"""Subjects whose common embeddings are computed without a thread, about 10 ms."""
_MAX_FACES_ON_LOOP = 20_000
"""Templates that are compared without a thread, in less than a millisecond."""
_FIRST_LIMIT = 100
"""Results requested first; few searches have more at or above their minimum similarity."""
_MAX_SUBJECTS_BY_FACES, _MAX_NAMED_SUBJECTS = 1_000, 2_000
_COHERENCE = 0.7
"""Lowest expected similarity of a photo with its subject's common embedding. A subject whose common embedding has the
similarity s with a probe therefore has a template with a similarity of about 0.7 s or more."""


class OpenGallery:
    """One gallery with its facts and the statements of its snapshot."""

    def __init__(
        self,
        engine: SearchEngine,
        tenant_id: UUID,
        gallery: Gallery,
        statements: GalleryStatements,
        facts: GalleryFacts | None,
    ) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._gallery = gallery
        self._statements = statements
        self._facts = facts

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was ever stored in the gallery; if so, only `read_scale` may be called."""
        return self._facts is None

    @property
    def facts(self) -> GalleryFacts:
        assert self._facts is not None, "an empty gallery has no facts"
        return self._facts

    async def read_scale(self) -> GalleryScale:
        """Return the decision settings for an empty gallery."""
        return await self._statements.read_empty_scale(self._gallery)

    async def read_face(self, face_id: UUID) -> FaceRow | None:
        return await self._statements.read_face(self.facts.id, face_id)

    async def read_common_embedding(self, subject_id: UUID) -> tuple[Embedding, bool] | None:
        """Return the common embedding of a subject's templates, and whether any is reliable; None if it has none."""
        found = await self._statements.read_subjects(self.facts.id, [subject_id])
        subject = found.subjects.get(subject_id)
        return None if subject is None else (common_embedding(subject.embeddings), subject.has_reliable)

    async def compare_subject(self, subject_id: UUID, probe: Embedding) -> tuple[BestTemplate, FoundSubjects] | None:
        """Return a subject's most similar template and the subject; None if it has no template."""
        best = await self._statements.find_best_template(self.facts.id, subject_id, probe)
        if best is None:
            return None
        return best, await self._statements.read_subjects(self.facts.id, [subject_id], [best.seq])

    async def rank_subjects(
        self,
        probes: Sequence[Embedding],
        limit: int,
        *,
        exclude: UUID | None = None,
        using: Strategy | None = None,
    ) -> list[list[Candidate]]:
        """Return the `limit` best subjects of each probe, without the subject `exclude`."""
        probes = round_to_half(probes)
        # One result more shows whether the last rank is tied; another one replaces the excluded subject.
        found = await self._ranker(BY_SUBJECT).rank(probes, limit + 1 + (exclude is not None), using)
        found = [[result for result in results if result.key != exclude] for results in found]
        return await self._describe(probes, found, limit)

    async def rank_named_subjects(self, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """Return the `limit` best named subjects of each probe, however many anonymous ones are more similar."""
        probes = round_to_half(probes)
        collection_id = self._gallery.collection_id
        found = [
            await self._statements.rank_named_subjects(self.facts.id, collection_id, probe, limit) for probe in probes
        ]
        return await self._describe(probes, found, limit)

    async def find_faces(
        self, probe: Embedding, limit: int, min_similarity: float, *, exclude: int | None = None
    ) -> list[FaceCandidate]:
        """Return the faces at or above `min_similarity`, best first, without the sequence number `exclude`."""
        (probe,) = round_to_half([probe])
        ranker = self._ranker(BY_FACE)
        # Two results more: one shows a tie at the limit, one replaces the excluded face.
        requested, max_requested = min(limit, _FIRST_LIMIT) + 2, limit + 2
        while True:
            (found,) = await ranker.rank([probe], requested)
            if requested >= max_requested or _reaches_below(found, requested, min_similarity):
                break
            requested = max_requested
        similar = [result for result in found if result.similarity >= min_similarity and result.key != exclude]
        similar = sorted(similar, key=lambda result: (-result.similarity, result.key))[:limit]
        faces = await self._statements.read_faces(self.facts.id, [result.key for result in similar])
        return [FaceCandidate(faces[result.key], clip_similarity(result.similarity)) for result in similar]

    async def find_all_faces(self, probe: Embedding, min_similarity: float) -> list[FaceCandidate]:
        """Return every face at or above `min_similarity`, best first, however many there are.

        Templates in the cache are compared in this process, newer ones in the database.
        """
        (probe,) = round_to_half([probe])
        cached = self._engine.cache.look_up(self._tenant_id, self.facts, wants_codes=False)
        similar, through_seq = dict[int, float](), 0
        if isinstance(cached, CachedGallery):
            similar, through_seq = await _find_all_cached(cached, probe, min_similarity), cached.through_seq
        if through_seq < self.facts.last_seq:
            similar |= await self._statements.find_similar(self.facts.id, probe, min_similarity, after=through_seq)
        faces = await self._statements.read_faces(self.facts.id, list(similar))  # without those deleted meanwhile
        ordered = sorted(faces, key=lambda seq: (-similar[seq], seq))
        return [FaceCandidate(faces[seq], clip_similarity(similar[seq])) for seq in ordered]

    async def find_named_subjects(
        self, probe: Embedding, limit: int, min_similarity: float, *, exclude: UUID | None = None
    ) -> list[NamedCandidate]:
        """Return the named subjects whose common embedding is at or above `min_similarity`, best first.

        The subject `exclude` and those without a reliable face are left out.
        """
        (probe,) = round_to_half([probe])
        subjects = await self._preselect_subjects(probe, min_similarity)
        candidates = [
            NamedCandidate(subject.subject, cosine_similarity(probe, common_embedding(subject.embeddings)))
            for subject_id, subject in subjects.items()
            if subject_id != exclude and not subject.is_anonymous and subject.has_reliable
        ]
        similar = [candidate for candidate in candidates if candidate.similarity >= min_similarity]
        return sorted(similar, key=lambda candidate: (-candidate.similarity, candidate.subject))[:limit]

    async def _preselect_subjects(self, probe: Embedding, min_similarity: float) -> Mapping[UUID, FoundSubject]:
        """Return all subjects whose common embedding may reach `min_similarity`, among others.

        Usually the subjects with the nearest faces suffice. If too many anonymous subjects are among them, all named
        subjects are compared, and the 2,000 with the most similar templates are returned.
        """
        ranker, requested = self._ranker(BY_SUBJECT), _FIRST_LIMIT
        while requested <= _MAX_SUBJECTS_BY_FACES:
            (found,) = await ranker.rank([probe], requested)
            if _reaches_below(found, requested, _COHERENCE * min_similarity):
                break
            requested *= 3
        else:
            found = await self._statements.rank_named_subjects(
                self.facts.id, self._gallery.collection_id, probe, _MAX_NAMED_SUBJECTS
            )
        return (await self._statements.read_subjects(self.facts.id, [result.key for result in found])).subjects

    async def _describe(
        self, probes: Sequence[Embedding], found: Sequence[Sequence[Found[UUID]]], limit: int
    ) -> list[list[Candidate]]:
        """Read the subjects that were found for each probe, and return them as candidates in final order."""
        subject_ids = {result.key for results in found for result in results}
        seqs = {result.seq for results in found for result in results}
        described = await self._statements.read_subjects(self.facts.id, list(subject_ids), list(seqs))
        if len(described.subjects) <= _MAX_SUBJECTS_ON_LOOP:
            return describe_candidates(probes, found, described, limit)
        return await asyncio.to_thread(describe_candidates, probes, found, described, limit)

    def _ranker(self, ranking: Ranking[K]) -> Ranker[K]:
        return Ranker(
            self._statements,
            self.facts,
            ranking,
            tenant_id=self._tenant_id,
            cache=self._engine.cache,
            limits=self._engine.limits,
        )


async def _find_all_cached(cached: CachedGallery, probe: Embedding, min_similarity: float) -> dict[int, float]:
    if len(cached.seqs) <= _MAX_FACES_ON_LOOP:
        return cached.find_all_similar(probe, min_similarity)
    return await asyncio.to_thread(cached.find_all_similar, probe, min_similarity)


def _reaches_below(found: Sequence[Found[K]], requested: int, similarity: float) -> bool:
    """Return whether nothing at or above the similarity is missing: the results are all, or some are below it."""
    return len(found) < requested or min(result.similarity for result in found) < similarity


def describe_candidates(
    probes: Sequence[Embedding],
    found: Sequence[Sequence[Found[UUID]]],
    described: FoundSubjects,
    limit: int,
) -> list[list[Candidate]]:
    """Return the subjects found for each probe as candidates with names and subject similarity, in final order."""
    subjects, faces = described
    common = {subject_id: common_embedding(subject.embeddings) for subject_id, subject in subjects.items()}
    limited = {subject_id for subject_id, subject in subjects.items() if not all(subject.are_reliable)}
    return [
        rank(
            [
                Candidate(
                    subjects[subject_id].subject,
                    subjects[subject_id].name,
                    clip_similarity(similarity),
                    cosine_similarity(probe, common[subject_id]),
                    _reliable_similarity(probe, subjects[subject_id]) if subject_id in limited else None,
                    faces.get(seq),
                )
                for subject_id, similarity, seq in results
            ],
            limit,
        )
        for probe, results in zip(probes, found, strict=True)
    ]


def _reliable_similarity(probe: Embedding, subject: FoundSubject) -> float:
    """The similarity with the most similar of a subject's newest reliable templates; -1 if none of them is reliable."""
    reliable = [one for one, is_good in zip(subject.embeddings, subject.are_reliable, strict=True) if is_good]
    return max((cosine_similarity(probe, embedding) for embedding in reliable), default=-1.0)
