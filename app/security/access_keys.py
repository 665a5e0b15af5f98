"""Access keys for signed requests: the secret is stored encrypted, because verifying a signature needs it."""

import secrets
import string
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_PUBLIC_CHARS = 18


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A public id (20 characters) and a secret (40 characters), in the format that AWS clients expect."""

    public_id: str
    secret: str

    def __repr__(self) -> str:
        return f"AccessKey({self.public_id})"


def generate_access_key() -> AccessKey:
    """Generate an access key; the secret has 240 random bits."""
    alphabet = string.ascii_uppercase + string.digits
    return AccessKey("VK" + "".join(secrets.choice(alphabet) for _ in range(_PUBLIC_CHARS)), secrets.token_urlsafe(30))


def encrypt_secret(key: bytes, public_id: str, secret: str) -> bytes:
    """Encrypt a secret with AES-256-GCM, bound to the public id; returns nonce (12 bytes) and ciphertext."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret.encode(), public_id.encode())


def decrypt_secret(key: bytes, public_id: str, encrypted: bytes) -> str | None:
    """Decrypt a secret; returns None if key or public id differ, or if the bytes were altered."""
    nonce, ciphertext = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, public_id.encode()).decode()
    except (InvalidTag, ValueError):
        return None
