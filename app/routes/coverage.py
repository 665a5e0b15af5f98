"""Check that every route requires authentication and has a rate limit, or is listed here as an exception."""

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.errors import REFERENCE_PATH
from app.routes import API
from app.routes.deps.callers import get_operator, get_principal, limit_address, require_metrics_token

# Public and without a rate limit: they cost almost nothing.
PUBLIC_ROUTES = frozenset(
    {
        "GET /",
        "GET /healthz",
        "GET /readyz",
        "GET /docs",
        f"GET {REFERENCE_PATH}",
        "GET /openapi.json",
        f"GET {API}/receipt-keys",
    }
)
# For any authenticated caller and without a rate limit: they cost one query.
AUTHENTICATED_ROUTES = frozenset({f"POST {API}/auth/logout", f"GET {API}/auth/me"})


def check_coverage(app: FastAPI, *, other_guards: Collection[Any] = ()) -> None:
    """Raise `RuntimeError` naming every route without a permission or rate limit that is not a listed exception.

    `other_guards` are further dependencies that authenticate a caller.
    """
    guards = {require_metrics_token, limit_address, get_operator, *other_guards}
    uncovered = [name for name, calls in route_dependencies(app).items() if not _is_covered(name, calls, guards)]
    if uncovered:
        raise RuntimeError(f"routes without a permission or a rate limit: {', '.join(sorted(uncovered))}")


def route_dependencies(app: FastAPI) -> dict[str, set[Any]]:
    """Return every dependency of every route, by `METHOD /path`."""
    dependencies: dict[str, set[Any]] = {}
    for context in iter_route_contexts(app.routes):
        route: Any = context.original_route
        for method in (getattr(route, "methods", None) or set()) - {"HEAD", "OPTIONS"}:
            dependant = getattr(route, "dependant", None)
            dependencies[f"{method} {getattr(route, 'path_format', route.path)}"] = (
                _calls(dependant) if dependant is not None else set()
            )
    return dependencies


def _is_covered(name: str, calls: set[Any], guards: set[Any]) -> bool:
    if name in PUBLIC_ROUTES:
        return True
    if name in AUTHENTICATED_ROUTES:
        return get_principal in calls
    return bool(guards & calls) or any(hasattr(call, "permission") for call in calls)


def _calls(dependant: Any) -> set[Any]:
    calls = {dependant.call}
    for inner in dependant.dependencies:
        calls |= _calls(inner)
    return calls
