"""Derives one key per purpose from the service's secret, so that no two purposes share a key."""

import hashlib

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Derive the key (32 bytes) of one purpose by HKDF-SHA256 (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"vultus/{purpose}/v1".encode()).derive(secret)


def compute_key_id(key: bytes) -> str:
    """Compute a short public id (8 hexadecimal digits) of a key, which does not reveal the key."""
    return hashlib.sha256(b"vultus key id" + key).hexdigest()[:8]
