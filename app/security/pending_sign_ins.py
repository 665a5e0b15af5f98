"""Remember for five minutes that a browser sent the right password and only the code is missing."""

import hashlib
from typing import NamedTuple

from itsdangerous import BadData, URLSafeTimedSerializer

from app.security.keyring import Keyring

MAX_AGE_S = 300
_PURPOSE = "pending-sign-ins"


class PendingSignIn(NamedTuple):
    """Whose password was right, and a digest of its hash: a password that changes meanwhile ends the sign-in."""

    email: str
    password_digest: str

    @classmethod
    def of(cls, email: str, password_hash: str) -> "PendingSignIn":
        return cls(email, hashlib.sha256(password_hash.encode()).hexdigest())


def sign_pending(keyring: Keyring, pending: PendingSignIn) -> str:
    """Return a signed text that a form carries."""
    _, key = keyring.current(_PURPOSE)
    return str(URLSafeTimedSerializer(key, salt=_PURPOSE).dumps(list(pending)))


def read_pending(keyring: Keyring, text: str) -> PendingSignIn | None:
    """Return what a text says; None if it is forged or older than five minutes."""
    for key in keyring.all(_PURPOSE):
        try:
            email, digest = URLSafeTimedSerializer(key, salt=_PURPOSE).loads(text, max_age=MAX_AGE_S)
        except (BadData, ValueError, TypeError):
            continue
        return PendingSignIn(str(email), str(digest))
    return None
