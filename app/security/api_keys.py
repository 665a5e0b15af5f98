"""API keys for programs: `vk_<public id>_<256 random bits>`; only an HMAC of the secret part is stored."""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass

PREFIX = "vk_"

_ALPHABET = string.ascii_letters + string.digits
_PUBLIC_CHARS = 16
_FORMAT = re.compile(r"vk_([A-Za-z0-9]{16})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The public id and the secret of a key; `text` is what the program sends, shown only once."""

    public_id: str
    secret: str

    @property
    def text(self) -> str:
        return f"{PREFIX}{self.public_id}_{self.secret}"

    def __repr__(self) -> str:
        return f"ApiKey({self.public_id})"


def generate_api_key() -> ApiKey:
    public_id = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS))
    return ApiKey(public_id, secrets.token_urlsafe(32))


def parse_api_key(text: str) -> ApiKey | None:
    """Parse a presented key; returns None if it does not have the format of an API key."""
    match = _FORMAT.fullmatch(text)
    return ApiKey(match[1], match[2]) if match else None


def hash_secret(key: bytes, secret: str) -> bytes:
    """Compute the HMAC-SHA256 (32 bytes) of a key's secret; 256 random bits need no slow hash."""
    return hmac.new(key, secret.encode(), hashlib.sha256).digest()


def is_same_hash(first: bytes, second: bytes) -> bool:
    """Compare two hashes in constant time."""
    return hmac.compare_digest(first, second)
