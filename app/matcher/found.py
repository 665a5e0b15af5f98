"""Rows that the search statements return: keys with similarities, a stored face, a subject with its embeddings."""

from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from app.domain.faces import Embedding
from app.domain.people import MatchedFace

K = TypeVar("K")
"""The key of a ranking: a subject's id, or the sequence number of a single face's template."""


class Found(NamedTuple, Generic[K]):
    """A subject and the similarity of its most similar template; or a single face and its similarity."""

    key: K
    similarity: float
    seq: int = 0
    """The sequence number of that template; 0 if the search does not name it."""


class BestTemplate(NamedTuple):
    """A subject's most similar template, by sequence number, and how many of its templates were compared."""

    similarity: float
    templates: int
    seq: int


class FaceRow(NamedTuple):
    """A stored face; the embedding is in its protected form."""

    seq: int
    subject_id: UUID
    embedding: Embedding
    is_reliable: bool = True


class FoundSubject(NamedTuple):
    """A subject with its newest embeddings, at most `MAX_COMMON_TEMPLATES`."""

    subject: str
    name: str | None
    embeddings: Sequence[Embedding]
    is_anonymous: bool = False
    are_reliable: Sequence[bool] = ()
    """Whether each embedding is of a face of reliable quality; empty: all are."""

    @property
    def has_reliable(self) -> bool:
        """Whether any embedding is of a face of reliable quality."""
        return not self.are_reliable or any(self.are_reliable)


class FoundSubjects(NamedTuple):
    """Subjects by row id, and the faces of the templates that made them candidates, by sequence number."""

    subjects: Mapping[UUID, FoundSubject]
    faces: Mapping[int, MatchedFace]
