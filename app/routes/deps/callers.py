"""Who calls, whether they may, and how often: asked before anything is read of a request's body."""

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Annotated, cast

from fastapi import Depends, Request, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, OAuth2PasswordBearer
from pydantic import SecretStr

from app.errors import AuthenticationFailed, PermissionDenied, RouteNotFound
from app.permissions import Permission, Principal
from app.routes import API
from app.routes.request_context import CALLER
from app.routes.state import AppState
from app.security.passwords import PasswordHasher
from app.services.auth import AuthService
from app.services.health import HealthService
from app.services.quotas import count_recognition
from app.services.tenants import OperatorService, TenantService
from app.settings import Settings

_bearer = OAuth2PasswordBearer(tokenUrl=f"{API}/auth/token", auto_error=False)
_api_key = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key; also taken as a bearer token.")


def state_of(request: Request) -> AppState:
    """The process-wide objects."""
    return cast(AppState, request.state._state)


async def get_settings(request: Request) -> Settings:
    return state_of(request)["settings"]


async def get_auth(request: Request) -> AuthService:
    return state_of(request)["auth"]


async def get_tenants(request: Request) -> TenantService:
    return state_of(request)["tenants"]


async def get_health(request: Request) -> HealthService:
    return state_of(request)["health"]


async def get_hasher(request: Request) -> PasswordHasher:
    return state_of(request)["hasher"]


SettingsDep = Annotated[Settings, Depends(get_settings)]
AuthDep = Annotated[AuthService, Depends(get_auth)]
TenantsDep = Annotated[TenantService, Depends(get_tenants)]
HealthDep = Annotated[HealthService, Depends(get_health)]
HasherDep = Annotated[PasswordHasher, Depends(get_hasher)]

# --- who calls ----------------------------------------------------------------------------------------------------


def address_of(request: Request) -> str:
    """The caller's address: the connection's, or what a trusted proxy forwarded (uvicorn decides).

    Of IPv6 the network of 64 bits: one caller has all of it. What is no address counts as one caller.
    """
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return "unknown"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


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
        return await state_of(request)["auth"].authenticate(credential)
    except AuthenticationFailed:
        await state_of(request)["limiter"].admit_address(address_of(request), "bad-credentials")
        raise


PrincipalDep = Annotated[Principal, Depends(get_principal)]


async def admit(request: Request, principal: Principal, permission: Permission) -> dict[str, str]:
    """Let a caller pass who has the permission, as often as their plan says; headers for the answer.

    Recognitions are counted for the month as well.
    """
    state = state_of(request)
    if not principal.may(permission):
        who = f"role {principal.role.value!r}" if principal.role else "key"
        raise PermissionDenied(f"Your {who} lacks the permission {permission.value!r}.")
    headers = await state["limiter"].admit_principal(principal, permission)
    if permission is Permission.RECOGNIZE:
        await count_recognition(state["database"], principal)
    request.scope[CALLER] = principal
    return headers


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
            await count_recognition(state_of(request)["database"], principal, images - 1)

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
    response.headers.update(await state_of(request)["limiter"].admit_address(address_of(request), name))


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
    wanted, operator = state["settings"].operator_token, state["operator"]
    if wanted is None or operator is None:
        raise RouteNotFound
    await state["limiter"].admit_address(address_of(request), "operator")
    if not _is_token(sent, wanted):
        raise AuthenticationFailed("Send the operator token as `Authorization: Bearer ...`.")
    return operator


_metrics_token = HTTPBearer(scheme_name="MetricsToken", auto_error=False)


async def require_metrics_token(
    request: Request,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_metrics_token)],
) -> None:
    """For whoever sends the metrics token; without one set there is nothing here."""
    wanted = state_of(request)["settings"].metrics_token
    if wanted is None:
        raise RouteNotFound
    if not _is_token(sent, wanted):
        await state_of(request)["limiter"].admit_address(address_of(request), "bad-credentials")
        raise AuthenticationFailed("Send the metrics token as `Authorization: Bearer ...`.")


OperatorDep = Annotated[OperatorService, Depends(get_operator)]
