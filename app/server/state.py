"""The process-wide objects, read from a request. `main.lifespan` put them there."""

from typing import TypedDict, cast

from starlette.requests import Request
from starlette.types import Scope

from app.server.rate_limits import RateLimiter
from app.wiring.process import AppState


class ServerState(TypedDict):
    """What the lifespan yields for every request."""

    process: AppState
    limiter: RateLimiter


def state_of(request: Request) -> AppState:
    """The objects that every entry point shares."""
    return cast(AppState, request.state.process)


def limiter_of(request: Request) -> RateLimiter:
    """The rate limiter of this process."""
    return cast(RateLimiter, request.state.limiter)


def state_in(scope: Scope) -> AppState:
    """The same objects, for middleware."""
    return cast(AppState, scope["state"]["process"])
