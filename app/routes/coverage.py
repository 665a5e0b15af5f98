"""No route without a lock and a limit: the app refuses to start with one that nobody thought of."""

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.routes import API
from app.routes.deps.callers import get_operator, get_principal, limit_address, require_metrics_token

# Anybody may call these, as often as they like: they cost next to nothing.
OPEN = frozenset({"GET /healthz", "GET /readyz", "GET /docs", "GET /openapi.json", f"GET {API}/receipt-keys"})
# For any signed-in caller; what they cost is one query.
SIGNED_IN = frozenset({f"POST {API}/auth/logout", f"GET {API}/auth/me"})


def check_coverage(app: FastAPI, *, other_locks: Collection[Any] = ()) -> None:
    """Raises `RuntimeError` naming every route that is neither guarded nor limited nor on one of the short lists."""
    locks = {require_metrics_token, limit_address, get_operator, *other_locks}
    bare = [name for name, calls in route_dependencies(app).items() if not _is_covered(name, calls, locks)]
    if bare:
        raise RuntimeError(f"routes without a permission or a limit: {', '.join(sorted(bare))}")


def route_dependencies(app: FastAPI) -> dict[str, set[Any]]:
    """`METHOD /path` of every route with everything that runs before it."""
    found: dict[str, set[Any]] = {}
    for context in iter_route_contexts(app.routes):
        route: Any = context.original_route
        for method in (getattr(route, "methods", None) or set()) - {"HEAD", "OPTIONS"}:
            dependant = getattr(route, "dependant", None)
            found[f"{method} {route.path}"] = _calls(dependant) if dependant is not None else set()
    return found


def _is_covered(name: str, calls: set[Any], locks: set[Any]) -> bool:
    if name in OPEN:
        return True
    if name in SIGNED_IN:
        return get_principal in calls
    return bool(locks & calls) or any(hasattr(call, "permission") for call in calls)


def _calls(dependant: Any) -> set[Any]:
    calls = {dependant.call}
    for inner in dependant.dependencies:
        calls |= _calls(inner)
    return calls
