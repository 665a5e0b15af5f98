"""Refuse query parameters that a route does not know, and names that are sent twice, in a query or a JSON body."""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute, _effective_route_context_var
from pydantic.fields import FieldInfo

from app.errors import InvalidParameter
from app.routes.folded_dependencies import fold_dependencies
from app.routes.unknown_names import describe_unknown, shorten
from app.schemas.json_documents import parse_json

_MAX_PARAMETERS = 100
D = TypeVar("D", bound=Callable[..., Any])
H = TypeVar("H", bound=Callable[..., Any])


class StrictRequest(Request):
    """A request whose JSON body may not have a name twice in one object."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route that answers 422 to a misspelled parameter instead of ignoring it."""

    @property
    def query_prefix(self) -> str | None:
        """The prefix of query parameters with free names that a dependency of the route reads."""
        return _find_prefix(self.dependant)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = self._fold_dependencies(super().get_route_handler)
        fields = get_flat_params(self.dependant)
        repeatable = {
            field.alias: _is_list(field.field_info) for field in fields if isinstance(field.field_info, params.Query)
        }

        prefix = self.query_prefix

        async def handle_strictly(request: Request) -> Response:
            if request.scope["query_string"]:
                _check(request.scope["query_string"].decode("latin-1"), repeatable, prefix)
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly

    def _fold_dependencies(self, build: Callable[[], H]) -> H:
        """Build the handler with folded dependencies; the OpenAPI document describes the whole tree."""
        included = _effective_route_context_var.get()  # the route as a part of a router that is included
        route: Any = included if included is not None and included.original_route is self else self
        whole = route.dependant
        route.dependant = fold_dependencies(whole)
        try:
            return build()
        finally:
            route.dependant = whole


def strict_router(**options: Any) -> APIRouter:
    """Create a router whose routes refuse unknown query parameters."""
    return APIRouter(route_class=StrictRoute, **options)


def allow_prefix(prefix: str) -> Callable[[D], D]:
    """Mark a dependency that reads query parameters with this prefix; its routes accept them, each at most once."""

    def mark(dependency: D) -> D:
        dependency.query_prefix = prefix  # type: ignore[attr-defined]
        return dependency

    return mark


def _check(query: str, repeatable: dict[str, bool], prefix: str | None) -> None:
    try:
        sent = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise InvalidParameter(f"The query has more than {_MAX_PARAMETERS} parameters.") from None
    for name, count in Counter(name for name, _ in sent).items():
        has_free_name = prefix is not None and name.startswith(prefix)
        if name not in repeatable and not has_free_name:
            known = [*repeatable, *([] if prefix is None else [f"{prefix}KEY"])]
            raise InvalidParameter(describe_unknown("query parameter", name, known), field=shorten(name))
        if count > 1 and not repeatable.get(name, False):
            raise InvalidParameter(
                f"The query parameter {shorten(name)!r} is sent {count} times; send it once.", field=shorten(name)
            )


def _find_prefix(dependant: Dependant) -> str | None:
    own: str | None = getattr(dependant.call, "query_prefix", None)
    return own or next(filter(None, map(_find_prefix, dependant.dependencies)), None)


def _is_list(field: FieldInfo) -> bool:
    return "list[" in str(field.annotation).lower()
