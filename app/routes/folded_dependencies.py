"""Solve the dependencies of a route in few steps.

FastAPI walks the whole tree of dependencies for every request, also below those that it has solved already; each step
takes as long as a small statement. Here a dependency without parameters of the request becomes one step together with
all that it depends on. Nothing else changes: each is called once per request, in the same order.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant

_SOLVED = "vultus.solved"
"""Key in a request's scope: what the folded dependencies returned, by function."""

Step = Callable[[Request, Response], Awaitable[Any]]

_steps: dict[Any, Step] = {}


def fold_dependencies(dependant: Dependant) -> Dependant:
    """Return an equivalent of a route's tree, in which each dependency that can be folded is a leaf."""
    return replace(dependant, dependencies=[_fold(inner) for inner in dependant.dependencies])


def _fold(dependant: Dependant) -> Dependant:
    if not _is_foldable(dependant):
        return fold_dependencies(dependant)
    step = _find_step(dependant)
    return Dependant(
        name=dependant.name,
        call=step,
        request_param_name="request",
        response_param_name="response",
        scope=dependant.scope,
        path=dependant.path,
    )


def _is_foldable(dependant: Dependant) -> bool:
    """Return whether a dependency and all below it are coroutines that take only the request and the response."""
    kind: Any = type(dependant.call)
    is_coroutine = iscoroutinefunction(dependant.call) or iscoroutinefunction(kind.__call__)
    needs_more = (
        dependant.path_params
        or dependant.query_params
        or dependant.header_params
        or dependant.cookie_params
        or dependant.body_params
        or dependant.websocket_param_name
        or dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
        or dependant.own_oauth_scopes
        or dependant.parent_oauth_scopes
        or dependant.concurrency
    )
    return (
        is_coroutine
        and not needs_more
        and dependant.use_cache
        and all(_is_foldable(inner) for inner in dependant.dependencies)
    )


def _find_step(dependant: Dependant) -> Step:
    """Return the step of a dependency: the same one wherever the dependency occurs."""
    call = dependant.call
    if call not in _steps:
        _steps[call] = _build_step(dependant)
    return _steps[call]


def _build_step(dependant: Dependant) -> Step:
    call: Callable[..., Awaitable[Any]] = dependant.call  # type: ignore[assignment]
    inner = [(one.name, _find_step(one)) for one in dependant.dependencies]
    request_names = [name for name in (dependant.request_param_name, dependant.http_connection_param_name) if name]
    response_name = dependant.response_param_name

    async def step(request: Request, response: Response) -> Any:
        solved: dict[Any, Any] = request.scope.setdefault(_SOLVED, {})
        if call in solved:
            return solved[call]
        values: dict[str, Any] = {}
        for name, solve in inner:
            value = await solve(request, response)
            if name is not None:
                values[name] = value
        values |= dict.fromkeys(request_names, request)
        if response_name is not None:
            values[response_name] = response
        result = solved[call] = await call(**values)
        return result

    return step
