"""What a search over a gallery is, and the exact one in memory that every other is checked against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np

from app.domain import Candidate, Embedding
from app.matcher.similarity import clip_similarity


@dataclass(frozen=True, slots=True)
class Gallery:
    """What is searched: one collection's templates of one recogniser, of one subject only if `subject_id` says so."""

    collection_id: UUID
    recognizer: str
    subject_id: UUID | None = None


class GallerySearch(Protocol):
    """Finds the subjects most similar to each probe."""

    async def search(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """For each probe its `limit` best subjects by their best template, best first, ties by the subject's id."""


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """One template as the exact search holds it."""

    gallery: Gallery
    subject: str
    name: str | None
    embedding: Embedding


class ExactSearch:
    """The oracle: compares every template in memory. For tests and evaluation, not for serving."""

    def __init__(self, templates: Sequence[StoredTemplate]) -> None:
        self._templates = templates

    async def search(self, gallery: Gallery, probes: Sequence[Embedding], limit: int) -> list[list[Candidate]]:
        """As `GallerySearch.search`."""
        return [self._rank(gallery, probe)[:limit] for probe in probes]

    def _rank(self, gallery: Gallery, probe: Embedding) -> list[Candidate]:
        best: dict[str, Candidate] = {}
        for stored in self._templates:
            if not _covers(gallery, stored.gallery):
                continue
            similarity = clip_similarity(float(np.dot(probe, stored.embedding)))
            known = best.get(stored.subject)
            if known is None or similarity > known.similarity:
                best[stored.subject] = Candidate(stored.subject, stored.name, similarity)
        return sorted(best.values(), key=lambda candidate: (-candidate.similarity, candidate.subject))


def _covers(wanted: Gallery, stored: Gallery) -> bool:
    same = (wanted.collection_id, wanted.recognizer) == (stored.collection_id, stored.recognizer)
    return same and wanted.subject_id in (None, stored.subject_id)
