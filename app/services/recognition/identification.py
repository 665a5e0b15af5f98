"""Who in a collection resembles some embeddings: found in this process's memory where it can be, else in PostgreSQL."""

from collections.abc import Sequence

from app.domain import Embedding
from app.matcher.search import Gallery, GallerySearch, Identified
from app.telemetry import timed


class Identification:
    """The one way from a collection's name and embeddings to candidates."""

    def __init__(self, search: GallerySearch) -> None:
        self._search = search

    async def identify(
        self, collection: str, gallery: Gallery, probes: Sequence[Embedding], limit: int
    ) -> Identified:  # fmt: skip
        """For each probe the `limit` best subjects of the collection's gallery."""
        with timed("search"):
            found = await self._search.identify_cached(collection, gallery.recognizer, probes, limit)
            return found if found is not None else await self._search.identify(gallery, probes, limit)
