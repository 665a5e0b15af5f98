"""List the subjects of a collection, all or those that meet conditions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.domain.people import Subject
from app.errors import InvalidParameter
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.hot_queries import HotQueries
from app.persistence.repositories.subject_search import SubjectFilter, SubjectSearch
from app.persistence.repositories.subjects import SubjectRepository
from app.security.cursors import CursorSigner, read_text
from app.services.collections.collections import require_found
from app.services.collections.gallery_lookup import GalleryLookup
from app.services.paging import Page, PageRequest, bind_filters, cut_page

MAX_WORDS = 10
"""Words of a text to search for."""
_Subjects = list[Subject]


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
    """List the subjects of the caller's tenant by subject id; needs no transaction of the request."""

    def __init__(
        self, database: Database, principal: Principal, galleries: GalleryLookup, cursors: CursorSigner
    ) -> None:
        self._database = database
        self._principal = principal
        self._galleries = galleries
        self._cursors = cursors

    async def list(self, collection: str, request: PageRequest, query: SubjectQuery) -> Page[Subject]:
        """List one page of a collection's subjects that meet the query.

        Raises `CollectionNotFound`, `InvalidCursor`, or `InvalidParameter` for a text without words or with too many.
        """
        conditions = query.describe()
        if not conditions and request.cursor is None:
            collection_id, found = await self._list(collection, None, request.limit + 1)
            scope = self._scope(collection_id)
        else:
            collection_id = await self._galleries.find_id(collection)
            scope = bind_filters(self._scope(collection_id), **conditions)
            after = self._cursors.open(scope, request.cursor, read_text) if request.cursor else None
            if conditions:
                found = await self._find(collection_id, query, after, request.limit + 1)
            else:
                _, found = await self._list(collection, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.subject))

    def _scope(self, collection_id: UUID) -> str:
        return f"{self._principal.tenant_id}/collections/{collection_id}/subjects"

    async def _list(self, collection: str, after: str | None, limit: int) -> tuple[UUID, _Subjects]:
        allowed, found = self._principal.collections, None
        if allowed is None or collection in allowed:
            found = await HotQueries(self._database, self._principal.tenant_id).list_subjects(collection, after, limit)
        return require_found(found, collection)

    async def _find(self, collection_id: UUID, query: SubjectQuery, after: str | None, limit: int) -> _Subjects:
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            search = SubjectSearch(session, tenant_id)
            words = await search.fold(query.text) if query.text is not None else []
            if query.text is not None and not 1 <= len(words) <= MAX_WORDS:
                raise InvalidParameter(
                    f"q: has {len(words)} words of letters and digits; it must have 1 to {MAX_WORDS}.", field="q"
                )
            filters = SubjectFilter(words, query.metadata, query.created_after, query.created_before)
            ids = await search.find(collection_id, filters, after, limit)
            return await SubjectRepository(session, tenant_id).list_by_ids(collection_id, ids)
