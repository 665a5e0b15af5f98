"""List the subjects of a collection, all or those that meet conditions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.people import Subject
from app.errors import InvalidParameter
from app.persistence.repositories.subject_search import SubjectFilter, SubjectSearch
from app.persistence.repositories.subjects import SubjectRepository
from app.security.cursors import CursorSigner, read_text
from app.services.collections.lookup import CollectionLookup
from app.services.paging import Page, PageRequest, bind_filters, cut_page

MAX_WORDS = 10
"""Words of a text to search for."""


@dataclass(frozen=True, slots=True)
class SubjectQuery:
    """Which subjects to list: those that meet every condition that is set.

    `text` has beginnings of words of the id or name. `metadata` maps keys to the text of their values. The times are
    exclusive.
    """

    text: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_after: datetime | None = None
    created_before: datetime | None = None

    def describe(self) -> dict[str, object]:
        """Return the conditions that are set, by the names of their parameters."""
        conditions = {
            "q": self.text,
            "created_after": self.created_after,
            "created_before": self.created_before,
            **{f"metadata.{key}": value for key, value in self.metadata.items()},
        }
        return {name: value for name, value in conditions.items() if value is not None}


class SubjectListing:
    """List the subjects of the caller's tenant by subject id."""

    def __init__(
        self, collections: CollectionLookup, subjects: SubjectRepository, search: SubjectSearch, cursors: CursorSigner
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._search = search
        self._cursors = cursors

    async def list(self, collection: str, request: PageRequest, query: SubjectQuery) -> Page[Subject]:
        """List one page of a collection's subjects that meet the query.

        Raises `CollectionNotFound`, `InvalidCursor`, or `InvalidParameter` for a text without words or with too many.
        """
        collection_id = await self._collections.find_id(collection)
        conditions = query.describe()
        scope = bind_filters(f"{self._subjects.tenant_id}/collections/{collection_id}/subjects", **conditions)
        after = self._cursors.open(scope, request.cursor, read_text) if request.cursor else None
        limit = request.limit + 1
        if conditions:
            ids = await self._search.find(collection_id, await self._read(query), after, limit)
            found = await self._subjects.list_by_ids(collection_id, ids)
        else:
            found = await self._subjects.list_page(collection_id, after, limit)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.subject))

    async def _read(self, query: SubjectQuery) -> SubjectFilter:
        words = await self._search.fold(query.text) if query.text is not None else []
        if query.text is not None and not 1 <= len(words) <= MAX_WORDS:
            raise InvalidParameter(
                f"q: has {len(words)} words of letters and digits; it must have 1 to {MAX_WORDS}.", field="q"
            )
        return SubjectFilter(words, query.metadata, query.created_after, query.created_before)
