"""Admit or refuse a caller by permission, rate limit and monthly quota, before the request's body is read."""

import time
from collections.abc import Iterable

from starlette.requests import Request

from app.errors import PermissionDenied, SecondFactorRequired, TokenRevoked
from app.permissions import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Principal
from app.persistence.repositories.hot_queries import HotQueries
from app.server.client_address import group_of
from app.server.photo_gate import assign_place
from app.server.request_context import CALLER, FOUND_COLLECTION, PRINCIPAL
from app.server.state import limiter_of, state_of
from app.services.collections.gallery_lookup import RecentCollection


def address_of(request: Request) -> str:
    """Return the name under which limits count the client's address."""
    return group_of(request.client.host if request.client else "")


async def admit(request: Request, principal: Principal, permission: Permission) -> dict[str, str]:
    """Check the permission and the plan's rate limit, and count a recognition against the monthly quota.

    Returns the rate-limit headers for the response. Raises `PermissionDenied`, `SecondFactorRequired`, `Overloaded`,
    `RateLimited` or `QuotaExceeded`.
    """
    if principal.must_enroll:
        raise SecondFactorRequired
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


async def authenticate_and_admit(
    request: Request, credential: str, permission: Permission
) -> tuple[Principal, dict[str, str]]:
    """Authenticate a caller and admit the request, for a user's session in one round trip if their plan is known.

    Returns and raises as `authenticate` and `admit` do.
    """
    state, limiter = state_of(request), limiter_of(request)
    claims = state.auth.read_session(credential) if limiter.counts_in_database else None
    if claims is None:
        principal = await state.auth.authenticate(credential)
        request.scope[PRINCIPAL] = principal
        return principal, await admit(request, principal, permission)
    assign_place(request.scope, claims.tenant_id)
    known = state.known_tenants.find(claims.tenant_id)
    # Other requests of the tenant change what is known while this one waits.
    plan, plan_version, collection = known.plan, known.plan_version, known.collection
    windows = limiter.list_windows(claims.tenant_id, plan, permission) if plan is not None else []
    recognitions = int(permission is Permission.RECOGNIZE)
    await limiter.sweep_sometimes()
    admitted = await HotQueries(state.database, claims.tenant_id).admit_user(
        claims.session_id,
        claims.user_id,
        permission,
        (plan, plan_version) if plan is not None else None,
        windows,
        images=recognitions,
        collection=collection,
    )
    if admitted is None:
        raise TokenRevoked
    principal = request.scope[PRINCIPAL] = admitted.principal
    known.plan, known.plan_version = principal.plan, admitted.plan_version
    if collection is not None and admitted.collection is not None:
        request.scope[FOUND_COLLECTION] = RecentCollection(collection, admitted.collection, time.monotonic())
    if admitted.counted is None:
        return principal, await admit(request, principal, permission)
    headers = limiter.judge(principal, permission, admitted.counted, recognitions)
    request.scope[CALLER] = principal
    return principal, headers


async def admit_more(request: Request, principal: Principal, permission: Permission, calls: int) -> dict[str, str]:
    """Count `calls` of a request against the plan's rate limit and the monthly quota.

    Returns the rate-limit headers for the response. Raises `RateLimited` or `QuotaExceeded`.
    """
    recognitions = calls if permission is Permission.RECOGNIZE else 0
    return await limiter_of(request).admit_principal(principal, permission, calls=calls, recognitions=recognitions)
