"""Find whom a person names as shown by a face."""

from dataclasses import dataclass
from uuid import UUID

from app.errors import SubjectNotFound
from app.persistence.repositories.subjects import SubjectRepository
from app.services.collections.lookup import CollectionLookup


@dataclass(frozen=True, slots=True)
class NamedPerson:
    """A subject that a person says a face shows: its collection and id."""

    collection: str
    subject: str


class PersonDirectory:
    """The subjects in the caller's collections; anonymous ones name nobody."""

    def __init__(self, collections: CollectionLookup, subjects: SubjectRepository) -> None:
        self._collections = collections
        self._subjects = subjects

    async def find_id(self, person: NamedPerson) -> UUID:
        """Return a subject's row id; raises `CollectionNotFound` or `SubjectNotFound`."""
        collection_id = await self._collections.find_id(person.collection)
        row = await self._subjects.find_row(collection_id, person.subject)
        if row is None or row.is_anonymous:
            raise SubjectNotFound(f"Collection {person.collection!r} has no subject {person.subject!r}.")
        return row.id
