"""The service's secrets: the current one signs, previous ones are still accepted during a rotation."""

from collections.abc import Sequence
from functools import lru_cache

from app.security.keys import compute_key_id, derive_key


class Keyring:
    """Keys by purpose and key id, derived from the current and the previous secrets."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets:
            raise ValueError("a keyring needs a secret")
        self._secrets = tuple(secrets)
        self._keys = lru_cache(maxsize=32)(self._derive)

    def current(self, purpose: str) -> tuple[str, bytes]:
        """Return the id and the key (32 bytes) to sign or encrypt with."""
        keys = self._keys(purpose)
        return next(iter(keys.items()))

    def find(self, purpose: str, key_id: str) -> bytes | None:
        """Find a current or previous key by id."""
        return self._keys(purpose).get(key_id)

    def all(self, purpose: str) -> list[bytes]:
        """Return all keys of a purpose, the current one first."""
        return list(self._keys(purpose).values())

    def _derive(self, purpose: str) -> dict[str, bytes]:
        keys = [derive_key(secret, purpose) for secret in self._secrets]
        return {compute_key_id(key): key for key in keys}
