"""Who in a collection resembles some embeddings: found in this process's memory where it can be, else in PostgreSQL."""

from collections.abc import Sequence

from app.domain import Embedding
from app.matcher.search import GallerySearch, Identified
from app.services.galleries import GalleryLookup
from app.telemetry import timed


class Identification:
    """The one way from a collection's name and embeddings to candidates."""

    def __init__(self, galleries: GalleryLookup, search: GallerySearch) -> None:
        self._galleries = galleries
        self._search = search

    @property
    def recognizer(self) -> str:
        """Whose embeddings are compared."""
        return self._galleries.recognizer

    async def identify(self, collection: str, probes: Sequence[Embedding], limit: int) -> Identified:
        """For each probe the `limit` best subjects of the collection; raises `CollectionNotFound`."""
        with timed("search"):
            if self._galleries.is_open(collection):
                found = await self._search.identify_cached(collection, self.recognizer, probes, limit)
                if found is not None:
                    return found
            return await self._search.identify(await self._galleries.find(collection), probes, limit)
