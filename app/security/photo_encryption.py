"""Encrypt photos and pictures of faces at rest with AES-256-GCM, under a key of the tenant's own."""

import secrets
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.security.keyring import Keyring
from app.security.keys import derive_key

_PURPOSE = "photos"
_NONCE_BYTES = 12


class PhotoCipher:
    """Encrypts and decrypts with keys that are derived from the service's secret and the tenant's id."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    @property
    def current_key_id(self) -> str:
        """The id of the service key that encrypts."""
        return self._keyring.current(_PURPOSE)[0]

    def encrypt(self, tenant_id: UUID, object_id: UUID, content: bytes) -> tuple[str, bytes]:
        """Encrypt content, bound to its tenant and id; return the service key's id, and nonce (12 bytes) and text."""
        key_id, key = self._keyring.current(_PURPOSE)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return key_id, nonce + _cipher(key, tenant_id).encrypt(nonce, content, object_id.bytes)

    def decrypt(self, tenant_id: UUID, object_id: UUID, key_id: str, encrypted: bytes) -> bytes | None:
        """Decrypt content; return None if the service key is not configured anymore or the bytes were altered."""
        key = self._keyring.find(_PURPOSE, key_id)
        if key is None:
            return None
        nonce, content = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
        try:
            return _cipher(key, tenant_id).decrypt(nonce, content, object_id.bytes)
        except (InvalidTag, ValueError):
            return None


def _cipher(key: bytes, tenant_id: UUID) -> AESGCM:
    return AESGCM(derive_key(key, f"tenant/{tenant_id}"))
