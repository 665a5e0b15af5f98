"""Digests by which a photo is known again, without keeping anything of it.

Keyed (HMAC-SHA256), so that nobody can test from the table whether a certain photo was stored. Pure functions.
"""

import hashlib
import hmac

from app.security.keyring import Keyring

_PURPOSE = "image-digests"


def image_digests(keyring: Keyring, about: tuple[str, ...], image: bytes) -> list[bytes]:
    """32 bytes for each of the service's secrets, the current one first; `about` says whose photo, and where."""
    content = "".join(f"{part}\0" for part in about).encode() + hashlib.sha256(image).digest()
    return [hmac.new(key, content, hashlib.sha256).digest() for key in keyring.all(_PURPOSE)]
