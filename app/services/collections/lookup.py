"""From a collection's name to its row: found, locked, or bound to the recognizer its first faces are stored with."""

from uuid import UUID

from app.domain.collections import Recognizers
from app.errors import CollectionNotFound, RecognizerChanged
from app.persistence.repositories.collections import CollectionRepository
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.telemetry import get_logger

_log = get_logger(__name__)


class CollectionLookup:
    """The collections that the caller may use, within one transaction."""

    def __init__(self, rows: CollectionRepository, directory: RecognizerDirectory) -> None:
        self._rows = rows
        self._directory = directory

    async def find_id(self, name: str, *, lock: bool = False) -> UUID:
        """The collection's id; `lock` prevents its deletion until the transaction ends. Raises `CollectionNotFound`."""
        row = await self._rows.find_row(name, lock=lock)
        if row is None:
            raise CollectionNotFound(f"There is no collection {name!r}.")
        return row.id

    async def lock_for_storing(self, name: str, made_by: Recognizers | None = None) -> tuple[UUID, Recognizers]:
        """Lock a collection for new faces until the transaction ends: its id, and the recognizers to store with.

        The first faces bind the collection to its recognizer. `made_by` are the recognizers that computed the
        embeddings. Raises `CollectionNotFound`, `RecognizerUnavailable`, or `RecognizerChanged` if the collection has
        switched to other recognizers since then.
        """
        row = await self._rows.find_row(name, lock=True)
        if row is None:
            raise CollectionNotFound(f"There is no collection {name!r}.")
        in_use = row.recognizer or await self._rows.bind_recognizer(row.id, self._directory.first)
        wanted = self._directory.of(name, in_use, row.secondary_recognizer)
        if row.secondary_recognizer not in (None, wanted.secondary):
            _log.warning("secondary_recognizer_not_loaded", recognizer=row.secondary_recognizer)
        if made_by is not None and not set(wanted.all) <= set(made_by.all):
            raise RecognizerChanged(f"Collection {name!r} went over to another recognizer meanwhile; send it again.")
        return row.id, wanted
