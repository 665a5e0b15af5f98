"""What a search's statements find: keys with similarities, a subject's best, a stored face, the people behind them."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from app.domain.faces import Embedding

K = TypeVar("K")


class Found(NamedTuple, Generic[K]):
    """A subject's id and the similarity of its best template; or a single face's place and its similarity."""

    key: K
    similarity: float


class BestOfSubject(NamedTuple):
    """The similarity of a subject's most similar template, of so many."""

    similarity: float
    templates: int


class OneFace(NamedTuple):
    """A stored face: its place, whose it is, and its embedding as it is stored."""

    place: int
    subject_id: UUID
    embedding: Embedding


class Person(NamedTuple):
    """A subject with the embeddings of its newest templates."""

    subject: str
    name: str | None
    embeddings: Sequence[Embedding]
    is_anonymous: bool = False
