"""Keep the operator signed in to the console: a signed cookie of 30 minutes, for the operator's pages alone.

It does not contain the operator token. It ends with the token: a new one makes all cookies invalid.
"""

import hmac
from hashlib import sha256

from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from app.security.keyring import Keyring
from app.server.console_session import is_secure
from app.server.state import state_of

MAX_AGE_S = 1800
_PURPOSE = "operator-session"


def set_operator_cookie(request: Request, response: Response, token: SecretStr, path: str) -> None:
    """Sign the operator in to the pages below a path."""
    keyring = state_of(request).keyring
    value = str(_serializer(keyring).dumps(_digest(keyring, token)))
    _set(request, response, value, MAX_AGE_S, path)


def delete_operator_cookie(request: Request, response: Response, path: str) -> None:
    _set(request, response, "", 0, path)


def read_operator_cookie(request: Request, token: SecretStr) -> str | None:
    """Return the cookie if it is valid for the operator token, else None."""
    value = request.cookies.get(_name(request))
    if not value:
        return None
    keyring = state_of(request).keyring
    try:
        digest = str(_serializer(keyring).loads(value, max_age=MAX_AGE_S))
    except BadData:
        return None
    return value if hmac.compare_digest(digest.encode(), _digest(keyring, token).encode()) else None


def operator_csrf(keyring: Keyring, cookie: str) -> str:
    """Return what forms of the operator's pages send as `csrf`."""
    _, key = keyring.current(_PURPOSE)
    return hmac.new(key, b"csrf:" + cookie.encode(), sha256).hexdigest()


def _set(request: Request, response: Response, value: str, max_age_s: int, path: str) -> None:
    secure = is_secure(request)
    response.set_cookie(
        _name(request), value, max_age=max_age_s, path=path, secure=secure, httponly=True, samesite="strict"
    )


def _name(request: Request) -> str:
    return "__Secure-vultus-operator" if is_secure(request) else "vultus-operator"


def _serializer(keyring: Keyring) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(keyring.current(_PURPOSE)[1], salt=_PURPOSE)


def _digest(keyring: Keyring, token: SecretStr) -> str:
    _, key = keyring.current(_PURPOSE)
    return hmac.new(key, token.get_secret_value().encode(), sha256).hexdigest()
