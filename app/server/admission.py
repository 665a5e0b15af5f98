"""Admit or refuse a caller by permission, rate limit and monthly quota, before the request's body is read."""

from collections.abc import Iterable

from starlette.requests import Request

from app.errors import PermissionDenied
from app.permissions import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Principal
from app.server.client_address import group_of
from app.server.photo_gate import assign_place
from app.server.request_context import CALLER
from app.server.state import limiter_of


def address_of(request: Request) -> str:
    """Return the name under which limits count the client's address."""
    return group_of(request.client.host if request.client else "")


async def admit(request: Request, principal: Principal, permission: Permission) -> dict[str, str]:
    """Check the permission and the plan's rate limit, and count a recognition against the monthly quota.

    Returns the rate-limit headers for the response. Raises `PermissionDenied`, `Overloaded`, `RateLimited` or
    `QuotaExceeded`.
    """
    if not principal.may(permission):
        raise PermissionDenied(_explain_denial(principal, permission))
    assign_place(request.scope, principal.tenant_id)
    headers = await admit_more(request, principal, permission, 1)
    request.scope[CALLER] = principal
    return headers


def _explain_denial(principal: Principal, permission: Permission) -> str:
    """Say which scopes a key, or which roles a user, would need."""
    if principal.role is not None:
        roles = _list(role.value for role, granted in ROLE_PERMISSIONS.items() if permission in granted)
        return (
            f"Your role {principal.role.value!r} does not have the permission {permission.value!r}. It needs the role "
            f"{roles}; an admin of your tenant can change yours."
        )
    scopes = _list(scope.value for scope, granted in SCOPE_PERMISSIONS.items() if permission in granted)
    return (
        f"Your key does not have the permission {permission.value!r}. It needs the scope {scopes}; issue a key with it."
    )


def _list(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)


async def admit_more(request: Request, principal: Principal, permission: Permission, calls: int) -> dict[str, str]:
    """Count `calls` of a request against the plan's rate limit and the monthly quota.

    Returns the rate-limit headers for the response. Raises `RateLimited` or `QuotaExceeded`.
    """
    recognitions = calls if permission is Permission.RECOGNIZE else 0
    return await limiter_of(request).admit_principal(principal, permission, calls=calls, recognitions=recognitions)
