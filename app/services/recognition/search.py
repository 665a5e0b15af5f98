"""Searching a collection by what is stored, or by an embedding: who else looks like this."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from app.domain.faces import Embedding
from app.errors import FaceNotFound, InvalidParameter, RecognizerMismatch
from app.matcher.search import Gallery, Identified
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import DecidedCandidate, Thresholds, decide_all
from app.services.collections.decisions import DecisionMaker
from app.services.collections.gallery_lookup import GalleryLookup

_MIN_LENGTH = 1e-6


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The candidates, best first, and what decided on them."""

    recognizer: str
    thresholds: Thresholds
    candidates: list[DecidedCandidate]


class SearchService:
    """Needs no image and no model; the stored embeddings stay in the database and the search."""

    def __init__(
        self,
        galleries: GalleryLookup,
        search: TenantSearch,
        *,
        decisions: DecisionMaker,
    ) -> None:
        self._galleries = galleries
        self._search = search
        self._decisions = decisions

    async def by_embedding(
        self, collection: str, embedding: Embedding, recognizer: str, *, limit: int, threshold: float | None
    ) -> SearchResult:
        """The subjects most similar to an embedding (512,) of any length but zero.

        Raises `CollectionNotFound`, `RecognizerMismatch` for an embedding that another recognizer made.
        """
        gallery = await self._galleries.find(collection)
        used = gallery.recognizer
        if recognizer != used:
            raise RecognizerMismatch(f"The embedding is said to be of {recognizer!r}; in use is {used!r}.")
        length = float(np.linalg.norm(embedding))
        if length < _MIN_LENGTH:
            raise InvalidParameter(f"embedding has the length {length:g}; it needs a direction.", field="embedding")
        identified = await self._search.identify(gallery, [embedding / np.float32(length)], limit)
        return self._decide(gallery, identified, threshold)

    async def by_subject(self, collection: str, subject: str, *, limit: int, threshold: float | None) -> SearchResult:
        """Other subjects similar to what this one's templates have in common; raises what is not found."""
        gallery, subject_id = await self._galleries.find_subject(collection, subject)
        identified = await self._search.subjects_like_subject(gallery, subject_id, limit)
        if identified is None:
            raise FaceNotFound(f"Subject {subject!r} has no face registered with the recognizer in use.")
        return self._decide(gallery, identified, threshold)

    async def by_face(
        self, collection: str, subject: str, face_id: UUID, *, limit: int, threshold: float | None
    ) -> SearchResult:
        """Other subjects similar to one stored face; raises what is not found."""
        gallery, subject_id = await self._galleries.find_subject(collection, subject)
        identified = await self._search.subjects_like_face(gallery, subject_id, face_id, limit)
        if identified is None:
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id} registered with the recognizer in use.")
        return self._decide(gallery, identified, threshold)

    def _decide(self, gallery: Gallery, identified: Identified, threshold: float | None) -> SearchResult:
        used = self._decisions.thresholds(gallery.recognizer, identified.scale, threshold)
        return SearchResult(gallery.recognizer, used, decide_all(identified.ranked[0], used))
