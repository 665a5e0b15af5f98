"""One-time codes of authenticator apps (TOTP, RFC 6238), and recovery codes; the only file with pyotp and segno.

A code has 6 digits and is valid for 30 seconds; the one before and the one after are accepted too, for slow clocks.
"""

import hashlib
import hmac
import re
import secrets

import pyotp
import segno

PERIOD_S = 30
RECOVERY_CODES = 10

_DRIFT = 1
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_CHARS = 4, 4
_DIGITS = re.compile(r"[0-9]{6}")


def generate_secret() -> str:
    """Generate a secret of 160 random bits, in base32."""
    return pyotp.random_base32()


def describe_secret(secret: str, email: str, issuer: str) -> str:
    """Return the `otpauth:` URI that authenticator apps read."""
    return pyotp.TOTP(secret, interval=PERIOD_S).provisioning_uri(name=email, issuer_name=issuer)


def draw_qr_code(text: str) -> str:
    """Return a QR code as a `data:` URI of an SVG picture, dark on white."""
    return segno.make(text, error="m", micro=False).svg_data_uri(scale=5, border=4, dark="#000", light="#fff")


def is_one_time_code(text: str) -> bool:
    """Return whether a text looks like a code of an authenticator app, not like a recovery code."""
    return _DIGITS.fullmatch(text.replace(" ", "")) is not None


def find_step(secret: str, code: str, now_s: float) -> int | None:
    """Return the number of the time step that a code belongs to; None for a wrong code.

    Each step's code must be accepted only once: the caller notes the step.
    """
    totp, wanted = pyotp.TOTP(secret, interval=PERIOD_S), code.replace(" ", "").encode()
    found = None
    for step in range(int(now_s) // PERIOD_S - _DRIFT, int(now_s) // PERIOD_S + _DRIFT + 1):
        if hmac.compare_digest(totp.at(step * PERIOD_S).encode(), wanted):
            found = step
    return found


def generate_recovery_codes() -> list[str]:
    """Generate recovery codes of 79 random bits each, such as `k3xw-9qmt-2bhz-r7ya`."""
    return ["-".join(_random_group() for _ in range(_GROUPS)) for _ in range(RECOVERY_CODES)]


def hash_recovery_code(key: bytes, code: str) -> bytes:
    """Compute the HMAC-SHA256 of a recovery code, ignoring case, spaces and hyphens; its bits need no slow hash."""
    plain = re.sub(r"[\s-]", "", code).lower()
    return hmac.new(key, plain.encode(errors="replace"), hashlib.sha256).digest()


def _random_group() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_CHARS))
