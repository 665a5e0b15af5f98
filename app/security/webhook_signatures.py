"""Sign webhook messages as Standard Webhooks 1.0 says: HMAC-SHA256 over id, time and body, under `whsec_` secrets.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def generate_secret() -> str:
    """Generate a secret of 256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign_message(signing_secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message; `timestamp` in seconds since 1970. Each secret adds a signature."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(_read(one), signed, sha256)).decode() for one in signing_secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _read(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_PREFIX))
