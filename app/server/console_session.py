"""Read the console's session from its cookie, and protect it from requests that other sites make.

A browser sends a cookie also when another site asks it to. Requests that change something therefore need a token that
only our own pages know; those that read are answered to the same site alone.
"""

import hmac
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from app.errors import AuthenticationFailed
from app.security.keyring import Keyring
from app.server.state import state_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "x-csrf-token"
_SECURE_NAME, _PLAIN_NAME = "__Host-vultus", "vultus"
_PURPOSE = "console-csrf"


def set_cookie(request: Request, response: Response, token: str, max_age_s: int) -> None:
    """Give the browser a session's token: for this host alone, out of reach of scripts and other sites."""
    secure = is_secure(request)
    name = _SECURE_NAME if secure else _PLAIN_NAME
    response.set_cookie(name, token, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax")


def delete_cookie(request: Request, response: Response) -> None:
    """Take the session's token from the browser."""
    set_cookie(request, response, "", 0)


def read_cookie(request: Request, sent: str | None = None) -> str | None:
    """Return the token in the cookie, if the request comes from our own pages; raises `AuthenticationFailed` if not.

    A change needs the token of `csrf_token`: in the header `x-csrf-token`, or `sent` from a field of a form.
    Without TLS in production the cookie is ignored: somebody else could have set it.
    """
    token = request.cookies.get(_SECURE_NAME if is_secure(request) else _PLAIN_NAME)
    if not token:
        return None
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        if request.method in SAFE_METHODS and request.headers.get("sec-fetch-mode") == "navigate":
            return token  # a link on another site, or in a mail
        raise AuthenticationFailed("The console's session is for its own pages. Send an access token or an API key.")
    if request.method not in SAFE_METHODS:
        sent = request.headers.get(CSRF_HEADER, "") if sent is None else sent
        if not hmac.compare_digest(sent.encode(), csrf_token(state_of(request).keyring, token).encode()):
            raise AuthenticationFailed(f"The header `{CSRF_HEADER}` is missing or not this session's.")
    return token


def csrf_token(keyring: Keyring, session_token: str) -> str:
    """Return what requests of a session that change something send in the header `x-csrf-token`."""
    _, key = keyring.current(_PURPOSE)
    return hmac.new(key, session_token.encode(), sha256).hexdigest()


def is_secure(request: Request) -> bool:
    """Return whether cookies of a response must come back by TLS only."""
    return state_of(request).settings.environment == "production" or request.url.scheme == "https"
