"""What a search over a gallery is, and the exact one in memory that every other is checked against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID, uuid4

import numpy as np

from app.domain import Candidate, Embedding
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.subject_similarity import MOST_TEMPLATES, common_embedding


@dataclass(frozen=True, slots=True)
class Gallery:
    """What is searched: one collection's templates of one recogniser."""

    collection_id: UUID
    recognizer: str


class GallerySearch(Protocol):
    """Finds the subjects most similar to a probe.

    Best first by their most similar template, ties by the subject's id; never fewer than `limit` while there are more
    subjects. No threshold has a part in it.
    """

    async def search(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """For each probe its `limit` best subjects."""

    async def search_cached(
        self, collection: str, recognizer: str, probes: Sequence[Embedding], limit: int
    ) -> list[list[Candidate]] | None:
        """`search` in the collection of this name, if the whole of it as it is now is at hand; else None."""

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> Candidate | None:
        """The one subject as a candidate; None if it has no template in the gallery."""

    async def resembling_face(
        self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int
    ) -> list[Candidate] | None:
        """Other subjects most similar to a subject's stored face; None if there is no such face."""

    async def resembling_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> list[Candidate] | None:
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

    async def search(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """As `GallerySearch.search`."""
        return [self._rank(gallery, probe, limit) for probe in probes]

    async def search_cached(self, *_: object) -> None:
        """Knows collections by their ids only."""

    async def compare(self, gallery: Gallery, subject_id: UUID, probe: Embedding) -> Candidate | None:
        """As `GallerySearch.compare`."""
        own = [stored for stored in self._in(gallery) if stored.subject_id == subject_id]
        return _candidate(probe, own) if own else None

    async def resembling_face(
        self, gallery: Gallery, subject_id: UUID, face_id: UUID, limit: int
    ) -> list[Candidate] | None:
        """As `GallerySearch.resembling_face`."""
        own = (stored for stored in self._in(gallery) if stored.subject_id == subject_id)
        found = next((stored for stored in own if stored.id == face_id), None)
        return self._rank(gallery, found.embedding, limit, but=subject_id) if found else None

    async def resembling_subject(self, gallery: Gallery, subject_id: UUID, limit: int) -> list[Candidate] | None:
        """As `GallerySearch.resembling_subject`."""
        own = [stored.embedding for stored in self._in(gallery) if stored.subject_id == subject_id]
        return self._rank(gallery, common_embedding(own[-MOST_TEMPLATES:]), limit, but=subject_id) if own else None

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
