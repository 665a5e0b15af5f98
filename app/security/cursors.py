"""Signed cursors: a client can carry one on, but neither make one nor use it for another tenant's or another list."""

import base64
import binascii
import hashlib
import hmac

from app.errors import InvalidCursor
from app.security.keyring import Keyring

_PURPOSE = "cursors"
_TAG_BYTES = 16
_MAX_CHARS = 1024


class CursorSigner:
    """Signs the place where the next page begins."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def sign(self, scope: str, position: str) -> str:
        """A cursor for `position` in the list that `scope` names (tenant and list)."""
        body = position.encode()
        _, key = self._keyring.current(_PURPOSE)
        return base64.urlsafe_b64encode(_tag(key, scope, body) + body).decode().rstrip("=")

    def open(self, scope: str, cursor: str) -> str:
        """The position; raises `InvalidCursor` unless the cursor was signed for this very scope."""
        try:
            if len(cursor) > _MAX_CHARS:
                raise InvalidCursor
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
            if not any(hmac.compare_digest(tag, _tag(key, scope, body)) for key in self._keyring.all(_PURPOSE)):
                raise InvalidCursor
            return body.decode()
        except (binascii.Error, ValueError):
            raise InvalidCursor from None


def _tag(key: bytes, scope: str, body: bytes) -> bytes:
    return hmac.new(key, scope.encode() + b"\0" + body, hashlib.sha256).digest()[:_TAG_BYTES]
