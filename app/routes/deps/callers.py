"""Who calls, whether they may, and how often: asked before anything of a request's body is read."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, OAuth2PasswordBearer
from pydantic import SecretStr

from app.errors import AuthenticationFailed, RouteNotFound
from app.permissions import Permission, Principal
from app.routes import API
from app.server.admission import address_of, admit
from app.server.state import limiter_of, state_of
from app.services.tenancy.quotas import count_recognition
from app.services.tenancy.tenants import OperatorService
from app.wiring.process import AppState

_bearer = OAuth2PasswordBearer(tokenUrl=f"{API}/auth/token", auto_error=False)
_api_key = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key; also taken as a bearer token.")


async def get_state(request: Request) -> AppState:
    return state_of(request)


StateDep = Annotated[AppState, Depends(get_state)]

# --- who calls ----------------------------------------------------------------------------------------------------


async def get_address(request: Request) -> str:
    return address_of(request)


AddressDep = Annotated[str, Depends(get_address)]


async def get_principal(
    request: Request,
    token: Annotated[str | None, Depends(_bearer)],
    key: Annotated[str | None, Depends(_api_key)],
) -> Principal:
    """The authenticated caller. Its queries have transactions of their own, over before anything else begins."""
    credential = token or key
    if not credential:
        raise AuthenticationFailed("Send an access token or an API key as `Authorization: Bearer ...`.")
    try:
        return await state_of(request).auth.authenticate(credential)
    except AuthenticationFailed:
        await limiter_of(request).admit_address(address_of(request), "bad-credentials")
        raise


PrincipalDep = Annotated[Principal, Depends(get_principal)]


def require(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    """A dependency that comes before the body is read, and lets only those pass whom `admit` does."""

    async def check(principal: PrincipalDep, request: Request, response: Response) -> Principal:
        response.headers.update(await admit(request, principal, permission))
        return principal

    check.permission = permission  # type: ignore[attr-defined]
    return check


async def get_counted_images(request: Request, principal: PrincipalDep) -> Callable[[int], Awaitable[None]]:
    """Counts a batch's images for the month; `require` counted the first before the body was read."""

    async def count(images: int) -> None:
        if images > 1:
            await count_recognition(state_of(request).database, principal, images - 1)

    return count


CountedImages = Annotated[Callable[[int], Awaitable[None]], Depends(get_counted_images)]

_GUARDS = {permission: require(permission) for permission in Permission}


def guard_of(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    """The one dependency for a permission: FastAPI runs it once a request, however often it is asked for."""
    return _GUARDS[permission]


CanRead = Annotated[Principal, Depends(guard_of(Permission.READ))]
CanRecognize = Annotated[Principal, Depends(guard_of(Permission.RECOGNIZE))]
CanReadEmbeddings = Annotated[Principal, Depends(guard_of(Permission.READ_EMBEDDINGS))]
CanRegister = Annotated[Principal, Depends(guard_of(Permission.REGISTER))]
CanDelete = Annotated[Principal, Depends(guard_of(Permission.DELETE))]
CanAdmin = Annotated[Principal, Depends(guard_of(Permission.ADMIN))]


async def limit_address(request: Request, response: Response) -> None:
    """For routes that anybody may call: so many requests from one address, each route for itself."""
    name = request.scope["route"].path.rsplit("/", 1)[-1]
    response.headers.update(await limiter_of(request).admit_address(address_of(request), name))


LIMITED_BY_ADDRESS = Depends(limit_address)


def _is_token(sent: HTTPAuthorizationCredentials | None, wanted: SecretStr) -> bool:
    return sent is not None and hmac.compare_digest(sent.credentials.encode(), wanted.get_secret_value().encode())


_operator_token = HTTPBearer(scheme_name="OperatorToken", auto_error=False)


async def get_operator(
    request: Request,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator_token)],
) -> OperatorService:
    """The operator's service, for whoever sends the operator token; without one set there is nothing here."""
    state = state_of(request)
    wanted, operator = state.settings.operator_token, state.operator
    if wanted is None or operator is None:
        raise RouteNotFound
    await limiter_of(request).admit_address(address_of(request), "operator")
    if not _is_token(sent, wanted):
        raise AuthenticationFailed("Send the operator token as `Authorization: Bearer ...`.")
    return operator


_metrics_token = HTTPBearer(scheme_name="MetricsToken", auto_error=False)


async def require_metrics_token(
    request: Request,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_metrics_token)],
) -> None:
    """For whoever sends the metrics token; without one set there is nothing here."""
    wanted = state_of(request).settings.metrics_token
    if wanted is None:
        raise RouteNotFound
    if not _is_token(sent, wanted):
        await limiter_of(request).admit_address(address_of(request), "bad-credentials")
        raise AuthenticationFailed("Send the metrics token as `Authorization: Bearer ...`.")


OperatorDep = Annotated[OperatorService, Depends(get_operator)]
