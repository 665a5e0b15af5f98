"""Input and results of a search: the gallery, ranked candidates, and the comparison with one subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.domain.decisions import Candidate, GalleryScale


@dataclass(frozen=True, slots=True)
class Gallery:
    """The templates that a search compares: those of one collection by one recognizer."""

    collection_id: UUID
    recognizer: str


class IdentifyResult(NamedTuple):
    """The candidates of each probe, best first, and the scale of the searched gallery.

    `is_probe_reliable` is false if the probe is a stored face of too low quality.
    """

    ranked: list[list[Candidate]]
    scale: GalleryScale
    is_probe_reliable: bool = True


class CompareResult(NamedTuple):
    """One subject as a candidate; `scale.templates` is the number of its templates."""

    candidate: Candidate
    scale: GalleryScale


def rank(candidates: Sequence[Candidate], limit: int) -> list[Candidate]:
    """Return the `limit` best candidates by similarity, ties by external subject id: the order of every search."""
    return sorted(candidates, key=lambda candidate: (-candidate.similarity, candidate.subject))[:limit]
