"""API keys for programs: `vk_<public id>_<256 random bits>`; only an HMAC of the secret half is ever stored."""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass

PREFIX = "vk_"

_ALPHABET = string.ascii_letters + string.digits
_PUBLIC_CHARS = 16
_FORM = re.compile(r"vk_([A-Za-z0-9]{16})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key's two halves; `text` is what the program sends, shown once."""

    public_id: str
    secret: str

    @property
    def text(self) -> str:
        """The whole key."""
        return f"{PREFIX}{self.public_id}_{self.secret}"

    def __repr__(self) -> str:
        return f"ApiKey({self.public_id})"


def generate_api_key() -> ApiKey:
    """A new key."""
    public_id = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS))
    return ApiKey(public_id, secrets.token_urlsafe(32))


def parse_api_key(text: str) -> ApiKey | None:
    """The key's halves, or None if it has not the form of one."""
    match = _FORM.fullmatch(text)
    return ApiKey(match[1], match[2]) if match else None


def hash_secret(key: bytes, secret: str) -> bytes:
    """HMAC-SHA256 of a key's secret half; 256 random bits need no slow hash."""
    return hmac.new(key, secret.encode(), hashlib.sha256).digest()


def is_same_hash(one: bytes, other: bytes) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(one, other)
