"""What a search over a gallery is, and the exact one in memory that every other is checked against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4

import numpy as np

from app.domain import Candidate, Embedding, GalleryScale
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.subject_similarity import MOST_TEMPLATES, common_embedding


@dataclass(frozen=True, slots=True)
class Gallery:
    """What is searched: one collection's templates of one recogniser."""

    collection_id: UUID
    recognizer: str


class Identified(NamedTuple):
    """For each probe its candidates, best first, and what they were found among."""

    ranked: list[list[Candidate]]
    scale: GalleryScale


class Compared(NamedTuple):
    """One subject as a candidate, and how many of its templates were compared."""

    candidate: Candidate
    scale: GalleryScale


class GallerySearch(Protocol):
    """Finds the subjects most similar to a probe.

    Best first by their most similar template, ties by the subject's id; never fewer than `limit` while there are more
    subjects. No threshold has a part in it.
    """

    async def identify(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> Identified:
        """For each probe its `limit` best subjects."""

    async def identify_cached(
        self, collection: str, recognizer: str, probes: Sequence[Embedding], limit: int
    ) -> Identified | None:
        """`identify` in the collection of this name, if the whole of it as it is now is at hand; else None."""

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> Compared | None:
        """The one subject as a candidate; None if it has no template in the gallery."""

    async def resembling_face(self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int) -> Identified | None:
        """Other subjects most similar to a subject's stored face; None if there is no such face."""

    async def resembling_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> Identified | None:
        """Other subjects most similar to what a subject's templates have in common; None without templates."""


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

    async def identify(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> Identified:
        """As `GallerySearch.identify`."""
        return self._identified(gallery, [self._rank(gallery, probe, limit) for probe in probes])

    async def search(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """The candidates of `identify` alone."""
        return (await self.identify(gallery, probes, limit)).ranked

    async def identify_cached(self, *_: object) -> None:
        """Knows collections by their ids only."""

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> Compared | None:
        """As `GallerySearch.compare`."""
        own = [stored for stored in self._in(gallery) if stored.subject_id == subject_id]
        return Compared(_candidate(probe, own), GalleryScale(len(own))) if own else None

    async def resembling_face(self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int) -> Identified | None:
        """As `GallerySearch.resembling_face`."""
        own = (stored for stored in self._in(gallery) if stored.subject_id == subject_id)
        found = next((stored for stored in own if stored.id == face_id), None)
        if found is None:
            return None
        return self._identified(gallery, [self._rank(gallery, found.embedding, limit, but=subject_id)])

    async def resembling_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> Identified | None:
        """As `GallerySearch.resembling_subject`."""
        own = [stored.embedding for stored in self._in(gallery) if stored.subject_id == subject_id]
        if not own:
            return None
        probe = common_embedding(own[-MOST_TEMPLATES:])
        return self._identified(gallery, [self._rank(gallery, probe, limit, but=subject_id)])

    def _identified(self, gallery: Gallery, ranked: list[list[Candidate]]) -> Identified:
        return Identified(ranked, GalleryScale(len(self._in(gallery))))

    def _in(self, gallery: Gallery) -> list[StoredTemplate]:
        return [stored for stored in self._templates if stored.gallery == gallery]

    def _rank(self, gallery: Gallery, probe: Embedding, limit: int, but: UUID | None = None) -> list[Candidate]:
        subjects: dict[UUID, list[StoredTemplate]] = {}
        for stored in self._in(gallery):
            if stored.subject_id != but:
                subjects.setdefault(stored.subject_id, []).append(stored)
        return rank([_candidate(probe, own) for own in subjects.values()], limit)


def rank(candidates: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The `limit` best, ties by the subject's id: the one order that every search has."""
    return sorted(candidates, key=lambda candidate: (-candidate.similarity, candidate.subject))[:limit]


def _candidate(probe: Embedding, templates: Sequence[StoredTemplate]) -> Candidate:
    embeddings = [stored.embedding for stored in templates]
    best = clip_similarity(float(np.max(np.stack(embeddings) @ probe)))
    whole = cosine_similarity(probe, common_embedding(embeddings[-MOST_TEMPLATES:]))
    return Candidate(templates[0].subject, templates[0].name, best, whole)
