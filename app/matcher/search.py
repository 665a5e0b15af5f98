"""What a search asks about and answers: a gallery, ranked candidates, one compared subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.domain.decisions import Candidate, GalleryScale


@dataclass(frozen=True, slots=True)
class Gallery:
    """What is searched: one collection's templates of one recognizer."""

    collection_id: UUID
    recognizer: str


class Identified(NamedTuple):
    """For each probe its candidates, best first, and how large the searched gallery is."""

    ranked: list[list[Candidate]]
    scale: GalleryScale


class Compared(NamedTuple):
    """One subject as a candidate, and how many of its templates were compared."""

    candidate: Candidate
    scale: GalleryScale


def rank(candidates: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The `limit` best candidates, ties by subject id: the order of every search."""
    return sorted(candidates, key=lambda candidate: (-candidate.similarity, candidate.subject))[:limit]
