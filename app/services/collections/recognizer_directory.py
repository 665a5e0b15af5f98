"""List the recognizers that this server has loaded, and resolve those of a collection."""

from collections.abc import Mapping

from app.domain.collections import Recognizers
from app.errors import InvalidParameter, RecognizerUnavailable


class RecognizerDirectory:
    """The recognizers of one process; the first is the default of collections without faces."""

    def __init__(self, packs: Mapping[str, str]) -> None:
        self._packs = packs  # pack names by recognizer
        self.default = next(iter(packs))

    @property
    def loaded(self) -> tuple[str, ...]:
        """All loaded recognizers, the default first."""
        return tuple(self._packs)

    def find_pack(self, recognizer: str) -> str | None:
        """Return the name of the pack that a recognizer was loaded from; None if it is not loaded."""
        return self._packs.get(recognizer)

    def in_use(self, bound_to: str | None) -> str:
        """Return the recognizer that searches a collection, loaded or not: its own, or the default if it has none."""
        return bound_to or self.default

    def of(self, collection: str, in_use: str | None, secondary: str | None) -> Recognizers:
        """Return a collection's loaded recognizers, given the stored names.

        Raises `RecognizerUnavailable` if the recognizer in use is not loaded, because any other would find nobody. A
        secondary recognizer that is not loaded is left out; the coverage then shows the faces it is missing.
        """
        if in_use is not None and in_use not in self._packs:
            raise RecognizerUnavailable(
                f"Collection {collection!r} is searched with the recognizer {in_use!r}, which is not loaded; loaded "
                f"are {self._list_loaded()}. The operator can add its pack (VULTUS_EXTRA_MODEL_PACKS), or an admin can "
                f"switch the collection (PUT /api/v1/collections/{{collection}}/recognizers).",
                retry_after_s=60,
            )
        return Recognizers(in_use or self.default, secondary if secondary in self._packs else None)

    def choose(self, recognizer: str | None, field: str) -> str:
        """Return a requested recognizer, or the default for None.

        Raises `InvalidParameter` for `field` if it is not loaded.
        """
        if recognizer is not None:
            self.require(recognizer, field)
        return recognizer or self.default

    def require(self, recognizer: str, field: str) -> None:
        """Raise `InvalidParameter` for `field` if the recognizer is not loaded."""
        if recognizer not in self._packs:
            raise InvalidParameter(
                f"{field}: {recognizer!r} is not loaded; loaded are {self._list_loaded()}.", field=field
            )

    def _list_loaded(self) -> str:
        return ", ".join(repr(name) for name in self._packs)
