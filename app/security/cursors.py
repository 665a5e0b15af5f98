"""Signed pagination cursors: clients can neither forge one nor use it for another tenant or another list."""

import hashlib

from itsdangerous import BadData, URLSafeSerializer

from app.errors import InvalidCursor
from app.security.keyring import Keyring

_PURPOSE = "cursors"
_MAX_CHARS = 1024
_HMAC_SHA256 = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


class CursorSigner:
    """Signs and opens cursors, which hold the position where the next page begins.

    Secrets that were used before keep opening the cursors they signed.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def sign(self, scope: str, position: str) -> str:
        """Sign `position` for the list that `scope` identifies (tenant and list); returns the cursor."""
        return str(self._serializer(scope).dumps(position))

    def open(self, scope: str, cursor: str) -> str:
        """Return a cursor's position; raises `InvalidCursor` unless it was signed for exactly this scope."""
        if len(cursor) > _MAX_CHARS:
            raise InvalidCursor
        try:
            return str(self._serializer(scope).loads(cursor))
        except (BadData, UnicodeError):
            raise InvalidCursor from None

    def _serializer(self, scope: str) -> URLSafeSerializer:
        # itsdangerous signs with the last key, and accepts all of them.
        keys = list(reversed(list(self._keyring.all(_PURPOSE))))
        return URLSafeSerializer(keys, salt=scope, signer_kwargs=_HMAC_SHA256)
