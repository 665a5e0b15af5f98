"""Find and lock collections by name, and bind a collection to the recognizer of its first faces."""

from uuid import UUID

from app.domain.collections import CollectionRecord, Recognizers
from app.errors import CollectionNotFound, RecognizerChanged
from app.persistence.repositories.collections import CollectionRepository
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.telemetry import get_logger

_log = get_logger(__name__)


class CollectionLookup:
    """Look up the collections that the caller may access, within one transaction."""

    def __init__(self, rows: CollectionRepository, directory: RecognizerDirectory) -> None:
        self._rows = rows
        self._directory = directory

    async def find_id(self, name: str, *, lock: bool = False) -> UUID:
        """Return the collection's id; raises `CollectionNotFound`.

        `lock` prevents the deletion of the collection until the transaction ends.
        """
        row = await self._rows.find_row(name, lock=lock)
        if row is None:
            raise CollectionNotFound(f"There is no collection {name!r}.")
        return row.id

    async def lock_both(self, one: str, other: str) -> tuple[CollectionRecord, CollectionRecord]:
        """Prevent the deletion of two collections until the transaction ends; raises `CollectionNotFound`."""
        rows = await self._rows.lock_rows(one, other)
        for name in (one, other):
            if name not in rows:
                raise CollectionNotFound(f"There is no collection {name!r}.")
        return rows[one], rows[other]

    async def bind_recognizer(self, row: CollectionRecord, recognizer: str | None) -> str:
        """Return a locked collection's recognizer; one without is bound to `recognizer`, or to the default."""
        return row.recognizer or await self._rows.bind_recognizer(row.id, recognizer or self._directory.default)

    async def lock_for_storing(self, name: str, computed_by: Recognizers | None = None) -> tuple[UUID, Recognizers]:
        """Lock a collection for new faces until the transaction ends; return its id and recognizers.

        The first faces bind the collection to its recognizer. `computed_by` are the recognizers that computed the
        embeddings. Raises `CollectionNotFound`, `RecognizerUnavailable`, or `RecognizerChanged` if the collection has
        switched to other recognizers since then.
        """
        row = await self._rows.find_row(name, lock=True)
        if row is None:
            raise CollectionNotFound(f"There is no collection {name!r}.")
        in_use = row.recognizer or await self._rows.bind_recognizer(row.id, self._directory.default)
        return row.id, self.recognizers_for_storing(name, in_use, row.secondary_recognizer, computed_by)

    @property
    def default_recognizer(self) -> str:
        """The recognizer to which the first faces bind a collection."""
        return self._directory.default

    def may_access(self, name: str) -> bool:
        """Whether the caller's key allows a collection of this name, existing or not."""
        return self._rows.may_access(name)

    def recognizers_for_storing(
        self, name: str, in_use: str, secondary: str | None, computed_by: Recognizers | None
    ) -> Recognizers:
        """Return the recognizers of a locked collection, given the stored names; raises as `lock_for_storing`."""
        recognizers = self._directory.of(name, in_use, secondary)
        if secondary not in (None, recognizers.secondary):
            _log.warning("secondary_recognizer_not_loaded", recognizer=secondary)
        if computed_by is not None and not set(recognizers.all) <= set(computed_by.all):
            raise RecognizerChanged(
                f"Collection {name!r} switched to other recognizers during the request; send the request again."
            )
        return recognizers
