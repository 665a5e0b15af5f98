"""What a caller must get who names another tenant's things, by the tables of permissions alone.

Without a credential it is 401, without the permission 403; otherwise what `tests/api/test_matrix.py` states for another
tenant's admin, mostly 404.
"""

from functools import cache

from app.main import create_app
from app.permissions import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Role, Scope, permissions_of
from app.routes import API
from app.routes.coverage import route_dependencies
from app.routes.deps.callers import get_operator
from tests.api.test_matrix import CALLS
from tests.schema.callers import KEY_SCOPES, LIMITED_SCOPES, ONE_COLLECTION, ROLES

SHORTENING = f"PUT {API}/policy"
_SUBJECT = f"{API}/collections/{{collection}}/subjects/{{subject}}"
GRANTS: dict[str, frozenset[Permission]] = {
    f"POST {API}/users": ROLE_PERMISSIONS[Role.VIEWER],
    f"PATCH {API}/users/{{user_id}}": ROLE_PERMISSIONS[Role.VIEWER],
    f"POST {API}/invitations": ROLE_PERMISSIONS[Role.VIEWER],
    f"POST {API}/keys": SCOPE_PERMISSIONS[Scope.RECOGNIZE],
    f"POST {API}/access-keys": SCOPE_PERMISSIONS[Scope.RECOGNIZE],
    SHORTENING: frozenset({Permission.DELETE}),
    f"POST {_SUBJECT}/merge": frozenset({Permission.DELETE}),
    f"POST {_SUBJECT}/move": frozenset({Permission.DELETE}),
}
"""Permissions that a request of the matrix needs besides its route's: those that it grants, for less retention, and
to take a subject away."""
TENANTLESS = frozenset({"nobody", "platform operator", "metrics"})
CALLERS = ROLES


@cache
def needed_permissions() -> dict[str, Permission | None]:
    """Return the permission of every route that needs a tenant's caller, None for any."""
    found = route_dependencies(create_app())
    return {
        route: next((call.permission for call in calls if hasattr(call, "permission")), None)
        for route, calls in found.items()
        if route in CALLS
    }


@cache
def operator_routes() -> frozenset[str]:
    """Return the routes of the operator's API."""
    return frozenset(route for route, calls in route_dependencies(create_app()).items() if get_operator in calls)


def permissions_of_caller(caller: str) -> frozenset[Permission]:
    """Return the permissions of a caller of `tests/schema/callers.py` in their own tenant."""
    if caller in TENANTLESS:
        return frozenset()
    if caller == ONE_COLLECTION:
        return permissions_of(LIMITED_SCOPES)
    return permissions_of(KEY_SCOPES[caller]) if caller in KEY_SCOPES else ROLE_PERMISSIONS[Role(caller)]


def expect(route: str, caller: str, otherwise: int) -> int:
    """Return the status for a caller; `otherwise` is that of a caller who may use the route."""
    if caller in TENANTLESS:
        return 401
    needed = needed_permissions()[route]
    wanted = GRANTS.get(route, frozenset()) | ({needed} if needed is not None else frozenset())
    if not wanted <= permissions_of_caller(caller):
        return 403
    if caller not in ROLE_PERMISSIONS and route.split()[1].startswith(f"{API}/auth/second-factor"):
        return 401  # it is of people, not of keys
    if caller == ONE_COLLECTION and route in (f"POST {API}/collections", f"POST {API}/albums"):
        return 403  # it may create only the collection that it is limited to
    return otherwise
