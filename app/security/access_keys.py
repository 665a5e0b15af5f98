"""Access-key pairs for signed requests: the secret is kept encrypted, since verifying a signature needs it."""

import secrets
import string
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_PUBLIC_CHARS = 18


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A pair in the form that AWS clients expect: 20 characters and 40 characters."""

    public_id: str
    secret: str

    def __repr__(self) -> str:
        return f"AccessKey({self.public_id})"


def generate_access_key() -> AccessKey:
    """A new pair; the secret has 240 random bits."""
    alphabet = string.ascii_uppercase + string.digits
    return AccessKey("VK" + "".join(secrets.choice(alphabet) for _ in range(_PUBLIC_CHARS)), secrets.token_urlsafe(30))


def encrypt_secret(key: bytes, public_id: str, secret: str) -> bytes:
    """AES-256-GCM, bound to the public id: nonce, then ciphertext."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret.encode(), public_id.encode())


def decrypt_secret(key: bytes, public_id: str, encrypted: bytes) -> str | None:
    """The secret, or None if the bytes are not its encryption under this key and id."""
    nonce, ciphertext = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, public_id.encode()).decode()
    except (InvalidTag, ValueError):
        return None
