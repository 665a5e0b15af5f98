"""Derives one key per purpose from the service's secret, so that no two uses share a key."""

import hashlib

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive_key(secret: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose, by HKDF-SHA256 (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"vultus/{purpose}/v1".encode()).derive(secret)


def key_id(key: bytes) -> str:
    """A short public name of a key, which does not reveal it."""
    return hashlib.sha256(b"vultus key id" + key).hexdigest()[:8]
