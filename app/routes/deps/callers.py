"""Authenticate the caller, check permissions and apply rate limits, all before the request's body is read."""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, OAuth2PasswordBearer
from pydantic import SecretStr

from app.errors import AuthenticationFailed, RouteNotFound, SignupDisabled, TokenExpired, TokenRevoked
from app.permissions import Permission, Principal
from app.routes import API
from app.server.admission import address_of, admit, authenticate_and_admit
from app.server.console_session import read_cookie
from app.server.request_context import PRINCIPAL
from app.server.state import limiter_of, state_of
from app.services.access.authentication import CONSOLE_PREFIX
from app.services.tenancy.tenants import OperatorService
from app.wiring.process import AppState

_bearer = OAuth2PasswordBearer(tokenUrl=f"{API}/auth/token", auto_error=False)
_api_key = APIKeyHeader(
    name="x-api-key", auto_error=False, description="An API key. It can also be sent as a bearer token."
)


async def get_state(request: Request) -> AppState:
    return state_of(request)


StateDep = Annotated[AppState, Depends(get_state)]


async def get_address(request: Request) -> str:
    return address_of(request)


AddressDep = Annotated[str, Depends(get_address)]


async def get_credential(
    request: Request,
    token: Annotated[str | None, Depends(_bearer)],
    key: Annotated[str | None, Depends(_api_key)],
) -> str:
    """Return the access token or API key that was sent, or the console's session from its cookie.

    Raises `AuthenticationFailed` for none, or several.
    """
    refuse_repeated(request, "authorization", "x-api-key")
    credential = token or key
    if not credential:
        session = read_cookie(request)
        if session is not None:
            return CONSOLE_PREFIX + session
        raise AuthenticationFailed("Send an access token or an API key as `Authorization: Bearer <token>`.")
    if credential.startswith(CONSOLE_PREFIX):
        raise AuthenticationFailed("The console's session is for its own pages. Send an access token or an API key.")
    if token and key and token != key:
        raise AuthenticationFailed("Send one credential: `Authorization` and `x-api-key` hold different ones.")
    return credential


CredentialDep = Annotated[str, Depends(get_credential)]


async def get_principal(request: Request, credential: CredentialDep) -> Principal:
    """Authenticate the caller, unless a permission check has done so; raises `AuthenticationFailed`.

    Its queries run in separate transactions, which end before the request's own transaction begins.
    """
    known: Principal | None = request.scope.get(PRINCIPAL)
    if known is not None:
        return known
    async with _counting_guesses(request):
        principal = await state_of(request).auth.authenticate(credential)
    request.scope[PRINCIPAL] = principal
    return principal


@asynccontextmanager
async def _counting_guesses(request: Request) -> AsyncIterator[None]:
    try:
        yield
    except (TokenExpired, TokenRevoked):  # it was genuine once, so nobody is guessing
        raise
    except AuthenticationFailed:
        await count_bad_credential(request)
        raise


def refuse_repeated(request: Request, *names: str) -> None:
    """Raise `AuthenticationFailed` if a header is repeated: a proxy may have checked another one than we would."""
    for name in names:
        if len(request.headers.getlist(name)) > 1:
            raise AuthenticationFailed(f"The header `{name}` is repeated; send one credential.")


async def count_bad_credential(request: Request) -> None:
    """Count a forged or unknown credential by address, apart from sign-ins; raises `RateLimited`."""
    await limiter_of(request).admit_address(address_of(request), "bad-credentials")


PrincipalDep = Annotated[Principal, Depends(get_principal)]
AUTHENTICATED = Depends(get_principal)


def _build_guard(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    async def check(credential: CredentialDep, request: Request, response: Response) -> Principal:
        principal: Principal | None = request.scope.get(PRINCIPAL)
        if principal is not None:
            headers = await admit(request, principal, permission)
        else:
            async with _counting_guesses(request):
                principal, headers = await authenticate_and_admit(request, credential, permission)
        response.headers.update(headers)
        return principal

    check.permission = permission  # type: ignore[attr-defined]
    return check


_GUARDS = {permission: _build_guard(permission) for permission in Permission}


def require_permission(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    """Return the dependency that admits only callers with a permission, within their rate limit and quota.

    There is one per permission, so that FastAPI runs it only once per request.
    """
    return _GUARDS[permission]


CanRead = Annotated[Principal, Depends(require_permission(Permission.READ))]
CanRecognize = Annotated[Principal, Depends(require_permission(Permission.RECOGNIZE))]
CanReadEmbeddings = Annotated[Principal, Depends(require_permission(Permission.READ_EMBEDDINGS))]
CanRegister = Annotated[Principal, Depends(require_permission(Permission.REGISTER))]
CanDelete = Annotated[Principal, Depends(require_permission(Permission.DELETE))]
CanAdmin = Annotated[Principal, Depends(require_permission(Permission.ADMIN))]


async def limit_address(request: Request, response: Response) -> None:
    """Limit the rate of requests from one address to a public route. Each route is counted separately."""
    name = request.scope["route"].path.rsplit("/", 1)[-1]
    response.headers.update(await limiter_of(request).admit_address(address_of(request), name))


LIMITED_BY_ADDRESS = Depends(limit_address)


async def require_signup_enabled(request: Request) -> None:
    if not state_of(request).settings.signup_enabled:
        raise SignupDisabled


SIGNUP_ENABLED = Depends(require_signup_enabled)


def _is_token(sent: HTTPAuthorizationCredentials | None, expected: SecretStr) -> bool:
    return sent is not None and hmac.compare_digest(sent.credentials.encode(), expected.get_secret_value().encode())


_operator_token = HTTPBearer(scheme_name="OperatorToken", auto_error=False)


async def get_operator(
    request: Request,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator_token)],
) -> OperatorService:
    """Return the operator's service; raises `AuthenticationFailed` without the operator token.

    Raises `RouteNotFound` if no operator token is configured.
    """
    state = state_of(request)
    expected, operator = state.settings.operator_token, state.operator
    if expected is None or operator is None:
        raise RouteNotFound
    refuse_repeated(request, "authorization")
    if not _is_token(sent, expected):
        await count_bad_credential(request)
        raise AuthenticationFailed("Send the operator token as `Authorization: Bearer <token>`.")
    await limiter_of(request).admit_address(address_of(request), "operator")
    return operator


_metrics_token = HTTPBearer(scheme_name="MetricsToken", auto_error=False)


async def require_metrics_token(
    request: Request,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_metrics_token)],
) -> None:
    """Raise `AuthenticationFailed` without the metrics token, and `RouteNotFound` if none is configured."""
    expected = state_of(request).settings.metrics_token
    if expected is None:
        raise RouteNotFound
    refuse_repeated(request, "authorization")
    if not _is_token(sent, expected):
        await count_bad_credential(request)
        raise AuthenticationFailed("Send the metrics token as `Authorization: Bearer <token>`.")


OperatorDep = Annotated[OperatorService, Depends(get_operator)]
