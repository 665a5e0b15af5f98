"""The interface of an evaluated system: compare two photos, locate a face, fill a gallery and search it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.domain.faces import Embedding, RelativeBox

MISSING = float("-inf")
"""The similarity of two photos if one has no face; no threshold accepts it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An enrolled key that a search found."""

    key: str
    similarity: float
    is_match: bool
    """The system's own decision, or the decision at its default threshold."""
    box: RelativeBox | None = None
    """The enrolled face's box in its photo, if the system reports it."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The number of faces stored from a photo, and the time it took."""

    faces: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Searched:
    """The results of a search, most similar first; `hits` is None if the photo has no face."""

    hits: list[Hit] | None
    seconds: float
    stated_rate: float | None = None
    """The false-match rate of such a search that the system states; None if it states none."""


class Gallery(Protocol):
    """Enrolled photos under keys. Similarities are cosines or percentages, depending on the system."""

    def enroll(self, key: str, photo: Path, *, all_faces: bool = False) -> Enrolled:
        """Store the photo's selected face, or all its faces."""

    def finish(self) -> int:
        """Wait until everything enrolled can be searched; return how many faces `enroll` did not count."""

    def search(self, photo: Path, limit: int) -> Searched:
        """Return at most the `limit` most similar keys."""


class System(Protocol):
    """Compares photos, and provides galleries."""

    def describe(self) -> dict[str, Any]:
        """Return what is known of the system for the report: pack, digest, detector settings, threshold."""

    def compare(self, first: Path, second: Path) -> float:
        """Return the similarity of the faces in two photos; `MISSING` if one has none."""

    def locate(self, photo: Path) -> RelativeBox | None:
        """Return the box of the photo's selected face; None without a face."""

    def gallery(self, name: str) -> AbstractContextManager[Gallery]:
        """Provide an empty gallery, or the partly filled one of this name that an interrupted run left."""

    def erase_open_collections(self) -> None:
        """Erase the collections that interrupted runs left on a server."""


class Embeds(Protocol):
    """Embeds photos."""

    def embed(self, photo: Path) -> Embedding | None:
        """Return the embedding of the photo's selected face; None without a face."""
