"""Check the signature of messages from Vultus (Standard Webhooks)."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import cast

from vultus_client.errors import WebhookRefused
from vultus_client.models import EventOut

TOLERANCE_S = 300
_PREFIX = "whsec_"


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes | str, *, tolerance_s: float = TOLERANCE_S
) -> EventOut:
    """Return the event of a message that was signed with this secret within the last `tolerance_s` seconds.

    `body` is what arrived, unchanged. Raises `WebhookRefused`. Messages may arrive twice: `webhook-id` tells.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    try:
        message, timestamp, signatures = (sent[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        age_s = time.time() - int(timestamp)
    except KeyError as exc:
        raise WebhookRefused(f"the header {exc.args[0]} is missing") from None
    except (ValueError, binascii.Error):
        raise WebhookRefused("the secret is not base64, or webhook-timestamp is no number") from None
    if abs(age_s) > tolerance_s:
        raise WebhookRefused(f"webhook-timestamp is {age_s:.0f} s old; at most {tolerance_s:g} s are allowed")
    content = body.encode() if isinstance(body, str) else bytes(body)
    digest = hmac.new(key, b".".join((message.encode(), timestamp.encode(), content)), hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    if not any(hmac.compare_digest(expected, one.encode()) for one in signatures.split()):
        raise WebhookRefused("no signature was made with this secret")
    return cast(EventOut, json.loads(content))
