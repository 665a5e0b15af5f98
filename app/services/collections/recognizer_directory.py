"""Which recognizers this server has, and which of them a collection is searched and stored with."""

from collections.abc import Mapping

from app.domain.collections import Recognizers
from app.errors import InvalidParameter, RecognizerUnavailable


class RecognizerDirectory:
    """The recognizers of one process, by their identities; the first is for whoever has none of their own."""

    def __init__(self, packs: Mapping[str, str]) -> None:
        self._packs = packs  # the names of the packs they are from, by recognizer
        self.first = next(iter(packs))

    @property
    def loaded(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._packs)

    def find_pack(self, recognizer: str) -> str | None:
        """The name of the pack that a recognizer was loaded from; None if it is not."""
        return self._packs.get(recognizer)

    def in_use(self, bound_to: str | None) -> str:
        """The recognizer that searches a collection, loaded or not: the one it is bound to, else the server's first."""
        return bound_to or self.first

    def of(self, collection: str, in_use: str | None, secondary: str | None) -> Recognizers:
        """A collection's recognizers, from what is stored of it.

        Raises `RecognizerUnavailable` without the one in use: to search with another would find nobody. Without the
        other, faces are stored with one, and the coverage says whose are missing.
        """
        if in_use is not None and in_use not in self._packs:
            raise RecognizerUnavailable(
                f"Collection {collection!r} is searched with the recognizer {in_use!r}; this server has "
                f"{', '.join(repr(name) for name in self._packs)}. Whoever runs it adds the pack "
                f"(VULTUS_EXTRA_MODEL_PACKS), or an admin chooses another "
                f"(PUT /api/v1/collections/{{collection}}/recognizers).",
                retry_after_s=60,
            )
        return Recognizers(in_use or self.first, secondary if secondary in self._packs else None)

    def require(self, recognizer: str, field: str) -> None:
        """Raises `InvalidParameter`, naming the field, for a recognizer that is not loaded."""
        if recognizer not in self._packs:
            raise InvalidParameter(
                f"{field}: {recognizer!r} is not loaded; loaded are {', '.join(repr(name) for name in self._packs)}.",
                field=field,
            )
