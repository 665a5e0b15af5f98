"""Admit or refuse a caller by permission, rate limit and monthly quota, before the request's body is read."""

from starlette.requests import Request

from app.errors import PermissionDenied
from app.permissions import Permission, Principal
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
        holder = f"role {principal.role.value!r}" if principal.role else "key"
        raise PermissionDenied(f"Your {holder} does not have the permission {permission.value!r}.")
    assign_place(request.scope, principal.tenant_id)
    headers = await admit_more(request, principal, permission, 1)
    request.scope[CALLER] = principal
    return headers


async def admit_more(request: Request, principal: Principal, permission: Permission, calls: int) -> dict[str, str]:
    """Count `calls` of a request against the plan's rate limit and the monthly quota.

    Returns the rate-limit headers for the response. Raises `RateLimited` or `QuotaExceeded`.
    """
    recognitions = calls if permission is Permission.RECOGNIZE else 0
    return await limiter_of(request).admit_principal(principal, permission, calls=calls, recognitions=recognitions)
