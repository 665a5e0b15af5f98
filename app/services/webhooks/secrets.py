"""Encrypt the secrets of webhooks under the service's key, and decrypt them to sign."""

from uuid import UUID

from app.persistence.repositories.webhooks import EncryptedSecret, WebhookSecrets
from app.security.access_keys import decrypt_secret, encrypt_secret
from app.security.keyring import Keyring

_PURPOSE = "webhooks"


class WebhookCipher:
    """Encrypts and decrypts secrets, bound to their webhook."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def encrypt(self, webhook_id: UUID, secret: str) -> EncryptedSecret:
        key_id, key = self._keyring.current(_PURPOSE)
        return EncryptedSecret(key_id, encrypt_secret(key, str(webhook_id), secret))

    def decrypt(self, webhook_id: UUID, secrets: WebhookSecrets) -> tuple[str, ...]:
        """Return the secrets that this server can read, the current one first."""
        opened = []
        for one in (secrets.current, secrets.previous):
            key = self._keyring.find(_PURPOSE, one.key_id) if one is not None else None
            text = decrypt_secret(key, str(webhook_id), one.encrypted) if one is not None and key is not None else None
            if text is not None:
                opened.append(text)
        return tuple(opened)
