"""Who may pass before a request's body is read: by permission, rate and monthly quota, or by address."""

from ipaddress import ip_address, ip_network

from starlette.requests import Request

from app.errors import PermissionDenied
from app.permissions import Permission, Principal
from app.server.request_context import CALLER
from app.server.state import limiter_of, state_of
from app.services.tenancy.quotas import count_recognition


def address_of(request: Request) -> str:
    """The caller's address: the connection's, or the one a trusted proxy forwarded (uvicorn decides).

    An IPv6 address counts as its /64 network, which one caller owns as a whole; anything else counts as "unknown".
    """
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return "unknown"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


async def admit(request: Request, principal: Principal, permission: Permission) -> dict[str, str]:
    """Check the permission and the plan's rate, and count recognitions against the monthly quota.

    Returns the rate-limit headers of the answer. Raises `PermissionDenied`, `RateLimited` or `QuotaExceeded`.
    """
    if not principal.may(permission):
        who = f"role {principal.role.value!r}" if principal.role else "key"
        raise PermissionDenied(f"Your {who} lacks the permission {permission.value!r}.")
    headers = await limiter_of(request).admit_principal(principal, permission)
    if permission is Permission.RECOGNIZE:
        await count_recognition(state_of(request).database, principal)
    request.scope[CALLER] = principal
    return headers
