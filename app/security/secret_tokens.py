"""Tokens of API keys and links: prefix, public id, 256 random bits; only an HMAC of the bits is stored."""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

_ALPHABET = string.ascii_letters + string.digits
_PUBLIC_CHARS = 16
_FORMAT = re.compile(r"(v[klir]_)([A-Za-z0-9]{16})_([A-Za-z0-9_-]{43})")


class TokenPrefix(StrEnum):
    """What a token begins with, so that people and secret scanners see what it is."""

    API_KEY = "vk_"
    GUEST_LINK = "vl_"
    INVITATION = "vi_"
    PASSWORD_RESET = "vr_"  # noqa: S105 - a prefix


@dataclass(frozen=True, slots=True)
class SecretToken:
    """The public id and the secret of a token; `text` is what the caller sends, shown only once."""

    prefix: TokenPrefix
    public_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        return f"{self.prefix}{self.public_id}_{self.secret}"

    @classmethod
    def generate(cls, prefix: TokenPrefix) -> Self:
        public_id = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS))
        return cls(prefix, public_id, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, prefix: TokenPrefix, text: str) -> Self | None:
        """Parse a presented token; returns None if it does not have the prefix or the format."""
        match = _FORMAT.fullmatch(text)
        return cls(prefix, match[2], match[3]) if match and match[1] == prefix else None


def hash_secret(key: bytes, secret: str) -> bytes:
    """Compute the HMAC-SHA256 (32 bytes) of a token's secret; 256 random bits need no slow hash."""
    return hmac.new(key, secret.encode(), hashlib.sha256).digest()


def is_same_hash(first: bytes, second: bytes) -> bool:
    """Compare two hashes in constant time."""
    return hmac.compare_digest(first, second)
