"""Refuse query parameters that a route does not know, and names that are sent twice, in a query or a JSON body."""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic.fields import FieldInfo

from app.errors import InvalidParameter
from app.routes.unknown_names import describe_unknown, shorten
from app.schemas.json_documents import parse_json

_MAX_PARAMETERS = 100


class StrictRequest(Request):
    """A request whose JSON body may not have a name twice in one object."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route that answers 422 to a misspelled parameter instead of ignoring it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        fields = get_flat_params(self.dependant)
        repeatable = {
            field.alias: _is_list(field.field_info) for field in fields if isinstance(field.field_info, params.Query)
        }

        async def handle_strictly(request: Request) -> Response:
            if request.scope["query_string"]:
                _check(request.scope["query_string"].decode("latin-1"), repeatable)
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


def strict_router(**options: Any) -> APIRouter:
    """Create a router whose routes refuse unknown query parameters."""
    return APIRouter(route_class=StrictRoute, **options)


def _check(query: str, repeatable: dict[str, bool]) -> None:
    try:
        sent = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise InvalidParameter(f"The query has more than {_MAX_PARAMETERS} parameters.") from None
    for name, count in Counter(name for name, _ in sent).items():
        if name not in repeatable:
            raise InvalidParameter(describe_unknown("query parameter", name, repeatable), field=shorten(name))
        if count > 1 and not repeatable[name]:
            raise InvalidParameter(f"The query parameter {name!r} is sent {count} times; send it once.", field=name)


def _is_list(field: FieldInfo) -> bool:
    return "list[" in str(field.annotation).lower()
