"""Folded dependencies: the same calls in the same order, each once, in fewer steps."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyHeader

from app.routes.folded_dependencies import fold_dependencies
from app.routes.strict_route import strict_router

_key = APIKeyHeader(name="x-api-key", auto_error=False)


def note(request: Request, name: str) -> None:
    request.app.state.calls.append(name)


async def read_key(request: Request, key: Annotated[str | None, Depends(_key)]) -> str:
    note(request, "key")
    if key is None:
        raise HTTPException(401)
    return key


async def admit(request: Request, response: Response, key: Annotated[str, Depends(read_key)]) -> str:
    note(request, "admit")
    response.headers["x-admitted"] = key
    return key


async def open_work(request: Request, key: Annotated[str, Depends(admit)]) -> AsyncIterator[str]:
    note(request, "begin")
    yield f"work of {key}"
    note(request, "end")


async def read_page(request: Request, limit: Annotated[int, Query(ge=1)] = 10) -> int:
    note(request, "page")
    return limit


@pytest.fixture
def app() -> FastAPI:
    router = strict_router(prefix="/work")

    @router.get("", dependencies=[Depends(admit)])
    async def work(
        _: Annotated[str, Depends(admit)],
        work: Annotated[str, Depends(open_work)],
        key: Annotated[str, Depends(read_key)],
        limit: Annotated[int, Depends(read_page)],
    ) -> dict[str, Any]:
        return {"work": work, "key": key, "limit": limit}

    app = FastAPI()
    app.include_router(router)
    app.state.calls = []
    return app


async def get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path, headers=headers)


async def test_each_dependency_is_called_once_and_in_order(app: FastAPI) -> None:
    for _ in range(2):
        app.state.calls.clear()
        answer = await get(app, "/work?limit=3", **{"x-api-key": "k"})
        assert answer.json() == {"work": "work of k", "key": "k", "limit": 3}
        assert answer.headers["x-admitted"] == "k"
        assert app.state.calls == ["key", "admit", "begin", "page", "end"]


async def test_nothing_runs_behind_a_guard_that_refuses(app: FastAPI) -> None:
    assert (await get(app, "/work")).status_code == 401
    assert app.state.calls == ["key"]


async def test_parameters_are_still_checked(app: FastAPI) -> None:
    assert (await get(app, "/work?limit=0", **{"x-api-key": "k"})).status_code == 422


async def test_the_document_still_names_the_credential_and_the_parameters(app: FastAPI) -> None:
    operation = app.openapi()["paths"]["/work"]["get"]
    assert operation["security"] == [{"APIKeyHeader": []}]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["limit"]


def test_only_dependencies_with_parameters_or_an_end_keep_steps_of_their_own(app: FastAPI) -> None:
    (whole,) = [context.dependant for context in iter_route_contexts(app.routes) if context.path == "/work"]
    assert _count(whole) > _count(fold_dependencies(whole)) == 6  # five of the route, and the guard below `open_work`


def _count(dependant: Dependant) -> int:
    return sum(1 + _count(inner) for inner in dependant.dependencies)
