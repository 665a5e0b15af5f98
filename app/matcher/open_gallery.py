"""A gallery in one snapshot of the database: what every search does once it has been opened.

Probes passed to it are in the form that the gallery's templates are stored in (`TemplateProtector.protect`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from app.domain.decisions import Candidate, GalleryScale
from app.domain.faces import Embedding
from app.domain.people import FaceCandidate, NamedCandidate
from app.matcher.engine import SearchEngine
from app.matcher.found import BestOfSubject, Found, K, OneFace, Person
from app.matcher.pgvector_search import BY_FACE, BY_SUBJECT, GalleryStatements, Ranking
from app.matcher.ranking import Ranker, as_stored
from app.matcher.search import Gallery, rank
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.strategy import GalleryFacts, Strategy
from app.matcher.subject_similarity import common_embedding

_MAX_PEOPLE_ON_THE_LOOP = 300
"""Subjects whose templates are averaged without a thread: about 10 ms."""
_FIRST_LOOK = 100
"""Most searches find fewer results above their minimum similarity; the rest is fetched only if there are more."""
_MAX_SUBJECTS_BY_FACES, _MAX_NAMED_SUBJECTS = 1_000, 2_000
_COHERENCE = 0.7
"""Photos of one person resemble their mean by at least about this much: a person whose mean has similarity s with a
probe has a photo with similarity 0.7 s."""


class OpenGallery:
    """One gallery, its facts, and the statements of its snapshot."""

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
        """Whether nothing was ever stored in it; then only `read_scale` may be called."""
        return self._facts is None

    @property
    def facts(self) -> GalleryFacts:
        assert self._facts is not None, "an empty gallery has no facts"
        return self._facts

    async def read_scale(self) -> GalleryScale:
        """How decisions are made on an empty gallery."""
        return await self._statements.read_empty(self._gallery)

    async def read_face(self, face_id: UUID) -> OneFace | None:
        return await self._statements.read_face(self.facts.id, face_id)

    async def read_common_embedding(self, subject_id: UUID) -> Embedding | None:
        """What a subject's templates have in common; None if it has none."""
        people = await self._statements.read_people(self.facts.id, [subject_id])
        return common_embedding(people[subject_id].embeddings) if people else None

    async def compare_subject(
        self, subject_id: UUID, probe: Embedding
    ) -> tuple[BestOfSubject | None, Mapping[UUID, Person]]:
        """A subject's most similar template, and the subject."""
        best = await self._statements.best_of_subject(self.facts.id, subject_id, probe)
        return best, await self._statements.read_people(self.facts.id, [subject_id])

    async def rank_subjects(
        self,
        probes: Sequence[Embedding],
        limit: int,
        *,
        exclude: UUID | None = None,
        using: Strategy | None = None,
    ) -> list[list[Candidate]]:
        """For each probe the `limit` best subjects, without `exclude`."""
        probes = as_stored(probes)
        # One more than requested shows whether the last rank is tied; one more replaces the excluded subject.
        found = await self._ranker(BY_SUBJECT).best(probes, limit + 1 + (exclude is not None), using)
        found = [[one for one in own if one.key != exclude] for own in found]
        subject_ids = {one.key for own in found for one in own}
        people = await self._statements.read_people(self.facts.id, list(subject_ids))
        if len(people) <= _MAX_PEOPLE_ON_THE_LOOP:
            return describe_candidates(probes, found, people, limit)
        return await asyncio.to_thread(describe_candidates, probes, found, people, limit)

    async def find_faces(
        self, probe: Embedding, limit: int, min_similarity: float, *, exclude: int | None = None
    ) -> list[FaceCandidate]:
        """The faces at or above `min_similarity`, best first, without the one at the place `exclude`."""
        (probe,) = as_stored([probe])
        ranker = self._ranker(BY_FACE)
        wanted, most = min(limit, _FIRST_LOOK) + 2, limit + 2  # one for a tie, one for the excluded face
        while True:
            (found,) = await ranker.best([probe], wanted)
            if wanted >= most or len(found) < wanted or min(one.similarity for one in found) < min_similarity:
                break
            wanted = most
        similar = [one for one in found if one.similarity >= min_similarity and one.key != exclude]
        similar = sorted(similar, key=lambda one: (-one.similarity, one.key))[:limit]
        faces = await self._statements.read_faces(self.facts.id, [one.key for one in similar])
        return [FaceCandidate(faces[one.key], clip_similarity(one.similarity)) for one in similar]

    async def find_named_subjects(
        self, probe: Embedding, limit: int, min_similarity: float, *, exclude: UUID | None = None
    ) -> list[NamedCandidate]:
        """The named subjects whose common embedding is at or above `min_similarity`, best first, without `exclude`."""
        (probe,) = as_stored([probe])
        people = await self._find_people(probe, min_similarity)
        candidates = [
            NamedCandidate(person.subject, cosine_similarity(probe, common_embedding(person.embeddings)))
            for subject_id, person in people.items()
            if subject_id != exclude and not person.is_anonymous
        ]
        similar = [one for one in candidates if one.similarity >= min_similarity]
        return sorted(similar, key=lambda one: (-one.similarity, one.subject))[:limit]

    async def _find_people(self, probe: Embedding, min_similarity: float) -> dict[UUID, Person]:
        """Every subject whose common embedding may reach `min_similarity`, and others.

        Usually the subjects with the nearest faces suffice; where too many anonymous faces stand among them, all named
        subjects are compared.
        """
        ranker, wanted = self._ranker(BY_SUBJECT), _FIRST_LOOK
        while wanted <= _MAX_SUBJECTS_BY_FACES:
            (found,) = await ranker.best([probe], wanted)
            if len(found) < wanted or min(one.similarity for one in found) < _COHERENCE * min_similarity:
                break
            wanted *= 3
        else:
            found = await self._statements.known_subjects(
                self.facts.id, self._gallery.collection_id, probe, _MAX_NAMED_SUBJECTS
            )
        return await self._statements.read_people(self.facts.id, [one.key for one in found])

    def _ranker(self, ranking: Ranking[K]) -> Ranker[K]:
        return Ranker(
            self._statements,
            self.facts,
            ranking,
            tenant_id=self._tenant_id,
            cache=self._engine.cache,
            limits=self._engine.limits,
        )


def describe_candidates(
    probes: Sequence[Embedding], found: Sequence[Sequence[Found[UUID]]], people: Mapping[UUID, Person], limit: int
) -> list[list[Candidate]]:
    """The subjects found for each probe as candidates, best first, at most `limit`."""
    common = {subject_id: common_embedding(person.embeddings) for subject_id, person in people.items()}
    return [
        rank(
            [
                Candidate(
                    people[subject_id].subject,
                    people[subject_id].name,
                    clip_similarity(similarity),
                    cosine_similarity(probe, common[subject_id]),
                )
                for subject_id, similarity in own
            ],
            limit,
        )
        for probe, own in zip(probes, found, strict=True)
    ]
