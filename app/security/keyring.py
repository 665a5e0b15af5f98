"""The service's secrets: one that signs, and older ones that are still believed while a new one takes over."""

from collections.abc import Sequence
from functools import lru_cache

from app.security.keys import derive_key, key_id


class Keyring:
    """Keys by purpose, derived from the current and the previous secrets; a key is named by its id."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets:
            raise ValueError("a keyring needs a secret")
        self._secrets = tuple(secrets)
        self._keys = lru_cache(maxsize=32)(self._derive)

    def current(self, purpose: str) -> tuple[str, bytes]:
        """Id and key (32 bytes) to sign or encrypt with."""
        keys = self._keys(purpose)
        return next(iter(keys.items()))

    def find(self, purpose: str, wanted: str) -> bytes | None:
        """The key of that id, current or previous."""
        return self._keys(purpose).get(wanted)

    def all(self, purpose: str) -> list[bytes]:
        """Every key of a purpose, the current one first."""
        return list(self._keys(purpose).values())

    def _derive(self, purpose: str) -> dict[str, bytes]:
        keys = [derive_key(secret, purpose) for secret in self._secrets]
        return {key_id(key): key for key in keys}
