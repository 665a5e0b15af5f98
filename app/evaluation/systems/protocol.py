"""What every system that is evaluated does: compare two photos, find a face's place, hold a gallery and search it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.domain.faces import Embedding, RelativeBox

MISSING = float("-inf")
"""The similarity of two photos where a face is missing in one: it matches nobody."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something enrolled that a search found."""

    key: str
    similarity: float
    is_match: bool
    """By what the system itself decided, or decides where nobody says anything."""
    box: RelativeBox | None = None
    """The enrolled face's place in its photo, where the system says."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How many faces of a photo were stored, and how long it took."""

    faces: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found, the most similar first; no hits at all (None) without a face in the photo."""

    hits: list[Hit] | None
    seconds: float
    stated_rate: float | None = None
    """How often, by its own word, such a search of a stranger ends in a match."""


class Gallery(Protocol):
    """Photos under keys, to be searched."""

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> Enrolled:
        """Store the photo's face, or all of them."""

    def search(self, photo: Path, limit: int) -> Searched:
        """The `limit` most similar keys at most."""


class System(Protocol):
    """Compares photos, and holds galleries."""

    def describe(self) -> dict[str, Any]:
        """What it is: pack, digest, detector settings, threshold, as far as it says."""

    def compare(self, first: Path, second: Path) -> float:
        """The similarity of two photos' faces; -inf where one has none."""

    def locate(self, photo: Path) -> RelativeBox | None:
        """The place of the face that is meant; None without one."""

    def gallery(self, name: str) -> AbstractContextManager[Gallery]:
        """An empty gallery, or, where a run was interrupted, its gallery of this name as it was left."""

    def abandon(self) -> None:
        """Erase the galleries that interrupted runs left."""


class Embeds(Protocol):
    """Makes embeddings of photos."""

    def embed(self, photo: Path) -> Embedding | None:
        """The photo's face; None without one."""
