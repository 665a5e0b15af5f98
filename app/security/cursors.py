"""Signed pagination cursors: clients can neither forge one nor use it for another tenant or another list."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from app.errors import InvalidCursor
from app.security.keyring import Keyring

_PURPOSE = "cursors"
_MAX_CHARS = 1024
_MAX_NUMBER = 2**63 - 1
"""PostgreSQL's largest bigint."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")
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

    def open(self, scope: str, cursor: str, read: Callable[[str], T]) -> T:
        """Return a cursor's position as `read` parses it.

        Raises `InvalidCursor` unless the cursor was signed for exactly this scope and `read` raises no `ValueError`.
        """
        if len(cursor) > _MAX_CHARS:
            raise InvalidCursor
        try:
            position = self._serializer(scope).loads(cursor)
            if not isinstance(position, str):
                raise InvalidCursor
            return read(position)
        except (BadData, ValueError):
            raise InvalidCursor from None

    def _serializer(self, scope: str) -> URLSafeSerializer:
        # itsdangerous signs with the last key, and accepts all of them.
        keys = list(reversed(list(self._keyring.all(_PURPOSE))))
        return URLSafeSerializer(keys, salt=scope, signer_kwargs=_HMAC_SHA256)


def read_text(position: str) -> str:
    """Return a position that PostgreSQL can compare with text; raises `ValueError`."""
    position.encode()
    if "\0" in position:
        raise ValueError("a position contains no NUL character")
    return position


def read_number(position: str) -> int:
    """Parse a position in a numbered list; raises `ValueError`."""
    number = int(position)
    if not 0 <= number <= _MAX_NUMBER:
        raise ValueError("a position is a positive bigint")
    return number


def read_numbered(position: str) -> tuple[UUID, int]:
    """Parse a row's group and its number in it, as `<32 hexadecimal digits>:<number>`; raises `ValueError`."""
    group, _, number = position.partition(":")
    return UUID(hex=group), read_number(number)


def write_created(created_at: datetime, row_id: UUID) -> str:
    """Write the position of a row in a list by time of creation."""
    return f"{row_id.hex}:{(created_at - _EPOCH) // timedelta(microseconds=1)}"


def read_created(position: str) -> tuple[datetime, UUID]:
    """Parse a position that `write_created` wrote; raises `ValueError`."""
    row_id, microseconds = read_numbered(position)
    try:
        return _EPOCH + timedelta(microseconds=microseconds), row_id
    except OverflowError:
        raise ValueError("a position has a time before the year 10000") from None
