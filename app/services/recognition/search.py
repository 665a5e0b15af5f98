"""Search a collection by an embedding, a subject or a stored face."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from app.domain.faces import Embedding
from app.errors import FaceNotFound, InvalidParameter, RecognizerMismatch
from app.matcher.search import Gallery, IdentifyResult
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import DecidedCandidate, Thresholds, decide_all
from app.services.collections.decisions import DecisionMaker
from app.services.collections.gallery_lookup import GalleryLookup

_MIN_LENGTH = 1e-6


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The candidates, best first, and the thresholds that decided."""

    recognizer: str
    thresholds: Thresholds
    candidates: list[DecidedCandidate]


class SearchService:
    """Search without an image or a model; stored embeddings never leave the search."""

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
        """Find the subjects most similar to an embedding, (512,) and of any length except zero.

        Raises `CollectionNotFound`, `InvalidParameter`, or `RecognizerMismatch` if `recognizer` is not the one in use.
        """
        gallery = await self._galleries.find(collection)
        if recognizer != gallery.recognizer:
            raise RecognizerMismatch(
                f"recognizer: the embedding is from {recognizer!r}, but collection {collection!r} is searched with "
                f"{gallery.recognizer!r}. Extract the embedding with that recognizer."
            )
        identified = await self._search.identify(gallery, [unit_vector(embedding)], limit)
        return self._decide(gallery, identified, threshold)

    async def by_subject(self, collection: str, subject: str, *, limit: int, threshold: float | None) -> SearchResult:
        """Find other subjects similar to a subject's common embedding.

        Raises `CollectionNotFound`, `SubjectNotFound` or `FaceNotFound`.
        """
        gallery, subject_id = await self._galleries.find_subject(collection, subject)
        identified = await self._search.subjects_like_subject(gallery, subject_id, limit)
        if identified is None:
            raise FaceNotFound(f"Subject {subject!r} has no face registered with the recognizer in use.")
        return self._decide(gallery, identified, threshold)

    async def by_face(
        self, collection: str, subject: str, face_id: UUID, *, limit: int, threshold: float | None
    ) -> SearchResult:
        """Find other subjects similar to one of a subject's stored faces.

        Raises `CollectionNotFound`, `SubjectNotFound` or `FaceNotFound`.
        """
        gallery, subject_id = await self._galleries.find_subject(collection, subject)
        identified = await self._search.subjects_like_face(gallery, subject_id, face_id, limit)
        if identified is None:
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id} registered with the recognizer in use.")
        return self._decide(gallery, identified, threshold)

    def _decide(self, gallery: Gallery, identified: IdentifyResult, threshold: float | None) -> SearchResult:
        thresholds = self._decisions.thresholds(gallery.recognizer, identified.scale, threshold)
        is_reliable = identified.is_probe_reliable
        candidates = decide_all(identified.ranked[0], thresholds, is_probe_reliable=is_reliable)
        return SearchResult(gallery.recognizer, thresholds, candidates)


def unit_vector(embedding: Embedding, field: str = "embedding") -> Embedding:
    """Return an embedding of a caller with unit length; raises `InvalidParameter` for a zero vector."""
    length = float(np.linalg.norm(embedding))
    if length < _MIN_LENGTH:
        raise InvalidParameter(
            f"{field}: its length is {length:g}; the minimum is {_MIN_LENGTH:g}, because a zero vector has no "
            f"direction.",
            field=field,
        )
    normalized: Embedding = embedding / np.float32(length)
    return normalized
