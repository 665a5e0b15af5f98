"""From the names that callers use to the gallery that is searched."""

from uuid import UUID

from app.errors import CollectionNotFound, SubjectNotFound
from app.matcher.search import Gallery
from app.permissions import Principal
from app.persistence.database import Database
from app.persistence.repositories.brief import BriefRepository
from app.persistence.repositories.subjects import SubjectRepository


class GalleryLookup:
    """Finds what the caller may search.

    In transactions of its own, over before the search begins: searches wait for their turn, and must hold no other
    connection meanwhile.
    """

    def __init__(self, database: Database, principal: Principal, recognizer: str) -> None:
        self._database = database
        self._principal = principal
        self.recognizer = recognizer

    def is_open(self, collection: str) -> bool:
        """Whether the caller may search a collection of this name, if there is one."""
        return self._principal.collections is None or collection in self._principal.collections

    async def find(self, collection: str) -> Gallery:
        """The collection's templates of the recogniser in use; raises `CollectionNotFound`."""
        tenant_id = self._principal.tenant_id
        found = None
        if self.is_open(collection):
            found = await BriefRepository(self._database, tenant_id).find_collection(collection)
        if found is None:
            raise CollectionNotFound(f"There is no collection {collection!r}.")
        return Gallery(found, self.recognizer)

    async def find_subject(self, collection: str, subject: str, *, known_only: bool = False) -> tuple[Gallery, UUID]:
        """The gallery, and the id of a subject in it; raises `CollectionNotFound` or `SubjectNotFound`.

        With `known_only` an anonymous one is none.
        """
        gallery, tenant_id = await self.find(collection), self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            row = await SubjectRepository(session, tenant_id).find_row(gallery.collection_id, subject)
        if row is None or (known_only and row.is_anonymous):
            raise SubjectNotFound(f"Collection {collection!r} has no subject {subject!r}.")
        return gallery, row.id
