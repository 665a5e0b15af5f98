"""Encrypt the secrets of webhooks under the service's key, and decrypt them to sign."""

from uuid import UUID

from app.persistence.repositories.webhooks import EncryptedSecret, WebhookRepository, WebhookSecrets
from app.security.access_keys import decrypt_secret, encrypt_secret
from app.security.keyring import Keyring

_PURPOSE = "webhooks"


async def encrypt_again(webhooks: WebhookRepository, cipher: "WebhookCipher") -> None:
    """Encrypt all secrets of a tenant that this server can read under the current key."""
    for webhook_id, secrets in await webhooks.list_secrets():
        renewed = cipher.renew(webhook_id, secrets)
        if renewed is not None:
            await webhooks.replace_secrets(webhook_id, secrets, renewed)


class WebhookCipher:
    """Encrypts and decrypts secrets, bound to their webhook."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def encrypt(self, webhook_id: UUID, secret: str) -> EncryptedSecret:
        key_id, key = self._keyring.current(_PURPOSE)
        return EncryptedSecret(key_id, encrypt_secret(key, str(webhook_id), secret))

    def renew(self, webhook_id: UUID, secrets: WebhookSecrets) -> WebhookSecrets | None:
        """Encrypt secrets under the current key; None if they are, or if one cannot be read."""
        stored = [one for one in (secrets.current, secrets.previous) if one is not None]
        current_id, _ = self._keyring.current(_PURPOSE)
        opened = self.decrypt(webhook_id, secrets)
        if all(one.key_id == current_id for one in stored) or len(opened) < len(stored):
            return None
        return WebhookSecrets(*(self.encrypt(webhook_id, secret) for secret in opened))

    def decrypt(self, webhook_id: UUID, secrets: WebhookSecrets) -> tuple[str, ...]:
        """Return the secrets that this server can read, the current one first."""
        opened = []
        for one in (secrets.current, secrets.previous):
            key = self._keyring.find(_PURPOSE, one.key_id) if one is not None else None
            text = decrypt_secret(key, str(webhook_id), one.encrypted) if one is not None and key is not None else None
            if text is not None:
                opened.append(text)
        return tuple(opened)
