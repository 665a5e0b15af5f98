"""Access and refresh tokens as JWTs; the only file that imports python-jose.

python-jose accepts forged tokens when algorithms are mixed or unset, and ignores `crit` (docs/decisions/0005). This
file therefore allows HS256 only, checks the header before the signature, and requires and type-checks every claim.
"""

import base64
import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from jose import jwt
from jose.exceptions import ExpiredSignatureError, JOSEError

from app.errors import TokenExpired, TokenInvalid
from app.security.keyring import Keyring

_ALGORITHM = "HS256"
_ISSUER = "vultus"
_PURPOSE = "tokens"
_MAX_TOKEN_CHARS = 2048
_MAX_GENERATION = 2**31 - 1
"""PostgreSQL's largest integer."""
_MAX_TIME = 253_402_300_799
"""The end of year 9999, in seconds since 1970."""
_MAX_KNOWN = 10_000
"""Tokens whose signatures are not checked again."""
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")  # python-jose accepts padding and spaces


class TokenKind(StrEnum):
    """The kind of a token; it is also the audience claim, so one kind is never accepted as the other."""

    ACCESS = "access"
    REFRESH = "refresh"
    CONSOLE = "console"
    """In the console's cookie; a browser renews it by signing in again."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims of a valid token: user, tenant, session, and the session's generation (refresh tokens)."""

    user_id: UUID
    tenant_id: UUID
    session_id: UUID
    generation: int


class TokenIssuer:
    """Issues tokens with the current key; reads tokens of previous keys too."""

    def __init__(
        self,
        keyring: Keyring,
        *,
        access_lifetime: timedelta,
        refresh_lifetime: timedelta,
        console_lifetime: timedelta = timedelta(hours=12),
    ) -> None:
        self._keyring = keyring
        self._lifetimes = {
            TokenKind.ACCESS: access_lifetime,
            TokenKind.REFRESH: refresh_lifetime,
            TokenKind.CONSOLE: console_lifetime,
        }
        self._known: dict[tuple[TokenKind, bytes], tuple[TokenClaims, int]] = {}
        """Claims and expiry of valid tokens by their SHA-256 hash, the earliest first."""

    def lifetime(self, kind: TokenKind) -> timedelta:
        return self._lifetimes[kind]

    def issue(self, kind: TokenKind, claims: TokenClaims) -> str:
        """Issue a signed token, valid from now on for the kind's lifetime."""
        now = datetime.now(UTC)
        payload = {
            "iss": _ISSUER,
            "aud": kind.value,
            "sub": str(claims.user_id),
            "tid": str(claims.tenant_id),
            "sid": str(claims.session_id),
            "gen": claims.generation,
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + self._lifetimes[kind],
        }
        kid, key = self._keyring.current(_PURPOSE)
        token: str = jwt.encode(payload, key, algorithm=_ALGORITHM, headers={"kid": kid})
        return token

    def read(self, kind: TokenKind, token: str) -> TokenClaims:
        """Read the claims of a valid token; raises `TokenExpired`, or `TokenInvalid` without a reason.

        The signature of a token is checked once: it cannot change, and whether the session still exists is for the
        database to tell.
        """
        if len(token) > _MAX_TOKEN_CHARS or not _COMPACT.fullmatch(token):
            raise TokenInvalid
        known_as = kind, hashlib.sha256(token.encode()).digest()
        known = self._known.get(known_as)
        if known is None:
            known = self._known[known_as] = self._verify(kind, token)
            if len(self._known) > _MAX_KNOWN:
                del self._known[next(iter(self._known))]
        claims, expires_at = known
        if expires_at < int(time.time()):
            raise TokenExpired
        return claims

    def _verify(self, kind: TokenKind, token: str) -> tuple[TokenClaims, int]:
        """Return the claims of a token in compact form and when it expires, in seconds since 1970; raises as `read`."""
        try:
            if not _is_canonical(token.rpartition(".")[2]):
                raise TokenInvalid
            header = jwt.get_unverified_header(token)
            if set(header) - {"alg", "typ", "kid"} or header.get("alg") != _ALGORITHM or header.get("typ") != "JWT":
                raise TokenInvalid
            key = self._keyring.find(_PURPOSE, str(header.get("kid")))
            if key is None:
                raise TokenInvalid
            options = {f"require_{claim}": True for claim in ("aud", "iss", "sub", "exp", "iat", "jti")}
            payload: dict[str, Any] = jwt.decode(
                token, key, algorithms=[_ALGORITHM], audience=kind.value, issuer=_ISSUER, options=options
            )
            if payload["aud"] != kind.value or not _are_numbers_valid(payload):
                raise TokenInvalid
            claims = TokenClaims(UUID(payload["sub"]), UUID(payload["tid"]), UUID(payload["sid"]), payload["gen"])
            return claims, payload["exp"]
        except ExpiredSignatureError:
            raise TokenExpired from None
        except (JOSEError, KeyError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            raise TokenInvalid from None


def _is_canonical(text: str) -> bool:
    """Whether a text is the only spelling of its bytes in base64: the last letter has bits that decoders ignore."""
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return base64.urlsafe_b64encode(decoded).decode().rstrip("=") == text


def _are_numbers_valid(payload: Mapping[str, Any]) -> bool:
    """Whether the times and the generation are integers in range; python-jose converts texts and fractions itself."""
    limits = {"gen": _MAX_GENERATION, "iat": _MAX_TIME, "exp": _MAX_TIME}
    return all(type(payload[claim]) is int and 0 <= payload[claim] <= limit for claim, limit in limits.items())
