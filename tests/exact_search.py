"""The oracle that every search is checked against: compares all templates in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np

from app.domain.decisions import Candidate, GalleryScale
from app.domain.faces import Embedding
from app.matcher.search import CompareResult, Gallery, IdentifyResult, rank
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.subject_similarity import MAX_COMMON_TEMPLATES, common_embedding


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """One template as the exact search holds it."""

    gallery: Gallery
    subject_id: UUID
    subject: str
    name: str | None
    embedding: Embedding
    id: UUID = field(default_factory=uuid4)


class ExactSearch:
    """The oracle: compares every template in memory, given in the order of storing. For tests, not for serving."""

    def __init__(self, templates: Sequence[StoredTemplate]) -> None:
        self._templates = templates

    async def identify(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> IdentifyResult:
        return self._identified(gallery, [self._rank(gallery, probe, limit) for probe in probes])

    async def search(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """The candidates of `identify` alone."""
        return (await self.identify(gallery, probes, limit)).ranked

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> CompareResult | None:
        own = [stored for stored in self._in(gallery) if stored.subject_id == subject_id]
        return CompareResult(_candidate(probe, own), GalleryScale(len(own))) if own else None

    async def subjects_like_face(
        self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int
    ) -> IdentifyResult | None:
        own = (stored for stored in self._in(gallery) if stored.subject_id == subject_id)
        found = next((stored for stored in own if stored.id == face_id), None)
        if found is None:
            return None
        return self._identified(gallery, [self._rank(gallery, found.embedding, limit, but=subject_id)])

    async def subjects_like_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> IdentifyResult | None:
        own = [stored.embedding for stored in self._in(gallery) if stored.subject_id == subject_id]
        if not own:
            return None
        probe = common_embedding(own[-MAX_COMMON_TEMPLATES:])
        return self._identified(gallery, [self._rank(gallery, probe, limit, but=subject_id)])

    def _identified(self, gallery: Gallery, ranked: list[list[Candidate]]) -> IdentifyResult:
        return IdentifyResult(ranked, GalleryScale(len(self._in(gallery))))

    def _in(self, gallery: Gallery) -> list[StoredTemplate]:
        return [stored for stored in self._templates if stored.gallery == gallery]

    def _rank(self, gallery: Gallery, probe: Embedding, limit: int, but: UUID | None = None) -> list[Candidate]:
        subjects: dict[UUID, list[StoredTemplate]] = {}
        for stored in self._in(gallery):
            if stored.subject_id != but:
                subjects.setdefault(stored.subject_id, []).append(stored)
        return rank([_candidate(probe, own) for own in subjects.values()], limit)


def _candidate(probe: Embedding, templates: Sequence[StoredTemplate]) -> Candidate:
    embeddings = [stored.embedding for stored in templates]
    best = clip_similarity(float(np.max(np.stack(embeddings) @ probe)))
    whole = cosine_similarity(probe, common_embedding(embeddings[-MAX_COMMON_TEMPLATES:]))
    return Candidate(templates[0].subject, templates[0].name, best, whole)
