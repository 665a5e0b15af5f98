"""Searching a collection by what is stored, or by an embedding: who else looks like this."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from app.domain import Candidate, Embedding
from app.errors import CollectionNotFound, FaceNotFound, InvalidParameter, RecognizerMismatch, SubjectNotFound
from app.matcher.search import Gallery, GallerySearch
from app.matcher.thresholds import DecidedCandidate, decide_all
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository

_LEAST_LENGTH = 1e-6


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The candidates, best first, and what decided on them."""

    recognizer: str
    threshold: float
    candidates: list[DecidedCandidate]


class SearchService:
    """Needs no image and no model; the stored embeddings stay in the database and the search."""

    def __init__(
        self,
        collections: CollectionRepository,
        subjects: SubjectRepository,
        search: GallerySearch,
        *,
        recognizer: str,
        default_threshold: float,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._search = search
        self._recognizer = recognizer
        self._default_threshold = default_threshold

    async def by_embedding(
        self, collection: str, embedding: Embedding, recognizer: str, *, limit: int, threshold: float | None
    ) -> SearchResult:
        """The subjects most similar to an embedding (512,) of any length but zero.

        Raises `CollectionNotFound`, `RecognizerMismatch` for an embedding that another recogniser made.
        """
        gallery = await self._gallery(collection)
        if recognizer != self._recognizer:
            raise RecognizerMismatch(f"The embedding is said to be of {recognizer!r}; in use is {self._recognizer!r}.")
        length = float(np.linalg.norm(embedding))
        if length < _LEAST_LENGTH:
            raise InvalidParameter(f"embedding has the length {length:g}; it needs a direction.", field="embedding")
        (candidates,) = await self._search.search(gallery, [embedding / np.float32(length)], limit)
        return self._decide(candidates, threshold)

    async def by_subject(self, collection: str, subject: str, *, limit: int, threshold: float | None) -> SearchResult:
        """Other subjects similar to what this one's templates have in common; raises what is not found."""
        gallery, subject_id = await self._subject(collection, subject)
        candidates = await self._search.resembling_subject(gallery, subject_id, limit)
        if candidates is None:
            raise FaceNotFound(f"Subject {subject!r} has no face registered with the recogniser in use.")
        return self._decide(candidates, threshold)

    async def by_face(
        self, collection: str, subject: str, face_id: UUID, *, limit: int, threshold: float | None
    ) -> SearchResult:
        """Other subjects similar to one stored face; raises what is not found."""
        gallery, subject_id = await self._subject(collection, subject)
        candidates = await self._search.resembling_face(gallery, subject_id, face_id, limit)
        if candidates is None:
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id} registered with the recogniser in use.")
        return self._decide(candidates, threshold)

    def _decide(self, candidates: list[Candidate], threshold: float | None) -> SearchResult:
        used = self._default_threshold if threshold is None else threshold
        return SearchResult(self._recognizer, used, decide_all(candidates, used))

    async def _gallery(self, collection: str) -> Gallery:
        row = await self._collections.find_row(collection)
        if row is None:
            raise CollectionNotFound(f"There is no collection {collection!r}.")
        return Gallery(row.id, self._recognizer)

    async def _subject(self, collection: str, subject: str) -> tuple[Gallery, UUID]:
        gallery = await self._gallery(collection)
        row = await self._subjects.find_row(gallery.collection_id, subject)
        if row is None:
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        return gallery, row.id
