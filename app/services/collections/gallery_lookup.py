"""Look up the gallery to search by the names that callers use."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from app.domain.collections import Recognizers
from app.errors import SubjectNotFound
from app.matcher.search import Gallery
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.hot_queries import FoundCollection, HotQueries
from app.persistence.repositories.subjects import SubjectRepository
from app.services.collections.collections import require_found
from app.services.collections.recognizer_directory import RecognizerDirectory

_RECENT_S = 1.0


@dataclass(frozen=True, slots=True)
class RecentCollection:
    """A collection that was found at some time, on the monotonic clock."""

    name: str
    found: FoundCollection
    found_at: float


class GalleryLookup:
    """Find the galleries that the caller may search, and their recognizers; one per request, used before inference.

    Lookups use short transactions that end before the search, because a search that waits for its turn must not hold
    another connection. Results are kept for the whole request. `recent` is used if it was found in the last second, and
    `note` is told the names that are looked up.
    """

    def __init__(
        self,
        database: Database,
        principal: Principal,
        directory: RecognizerDirectory,
        *,
        recent: RecentCollection | None = None,
        note: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._database = database
        self._principal = principal
        self._directory = directory
        self._found: dict[str, FoundCollection] = {}
        self._recent = recent
        self._note = note

    async def find(self, collection: str) -> Gallery:
        """Find the collection's gallery of the recognizer in use.

        Raises `CollectionNotFound`, or `RecognizerUnavailable` if that recognizer is not loaded.
        """
        found = await self._find(collection)
        return Gallery(found.id, self._directory.of(collection, found.recognizer, found.secondary).in_use)

    async def find_id(self, collection: str) -> UUID:
        """Return the collection's id; raises `CollectionNotFound`."""
        return (await self._find(collection)).id

    async def recognizers(self, collection: str) -> Recognizers:
        """Find the recognizers that embed new faces; raises as `find`."""
        found = await self._find(collection)
        return self._directory.of(collection, found.recognizer, found.secondary)

    async def recognizer_name(self, collection: str) -> str:
        """Return the recognizer in use, loaded or not; raises `CollectionNotFound`."""
        return self._directory.in_use((await self._find(collection)).recognizer)

    async def find_subject(self, collection: str, subject: str, *, named_only: bool = False) -> tuple[Gallery, UUID]:
        """Find the gallery and the row id of a subject; raises as `find`, or `SubjectNotFound`.

        `named_only` excludes anonymous subjects.
        """
        gallery, tenant_id = await self.find(collection), self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            row = await SubjectRepository(session, tenant_id).find_row(gallery.collection_id, subject)
        if row is None or (named_only and row.is_anonymous):
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        return gallery, row.id

    async def _find(self, collection: str) -> FoundCollection:
        found = self._found.get(collection)
        if found is None:
            principal = self._principal
            if principal.collections is None or collection in principal.collections:
                found = self._find_recent(collection)
                if found is None:
                    found = await HotQueries(self._database, principal.tenant_id).find_collection(collection)
                if found is not None:
                    self._note(collection)
            found = self._found[collection] = require_found(found, collection)
        return found

    def _find_recent(self, collection: str) -> FoundCollection | None:
        recent = self._recent
        if recent is None or recent.name != collection or time.monotonic() - recent.found_at > _RECENT_S:
            return None
        return recent.found
