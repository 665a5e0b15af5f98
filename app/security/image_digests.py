"""Digests that detect a photo sent again, without storing the photo.

They are keyed (HMAC-SHA256), so the table alone does not reveal whether a given photo was registered. Pure functions.
"""

import hashlib
import hmac

from app.security.keyring import Keyring

_PURPOSE = "image-digests"


def image_digests(keyring: Keyring, about: tuple[str, ...], image: bytes) -> list[bytes]:
    """Compute the photo's digests (32 bytes each), one for each of the service's secrets, the current one first.

    `about` is the context in which a digest is comparable, such as tenant and collection.
    """
    content = "".join(f"{part}\0" for part in about).encode() + hashlib.sha256(image).digest()
    return [hmac.new(key, content, hashlib.sha256).digest() for key in keyring.all(_PURPOSE)]
