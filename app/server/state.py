"""Give access to the process-wide objects that the lifespan in `main.py` attaches to every request."""

from typing import TypedDict, cast

from starlette.requests import Request

from app.server.document_process import DocumentProcess
from app.server.rate_limits import RateLimiter
from app.wiring.process import AppState


class ServerState(TypedDict):
    """The state that the lifespan attaches to every request."""

    process: AppState
    limiter: RateLimiter
    documents: DocumentProcess


def state_of(request: Request) -> AppState:
    """Return the objects that all entry points share."""
    return cast(AppState, request.state.process)


def limiter_of(request: Request) -> RateLimiter:
    """Return the rate limiter of this process."""
    return cast(RateLimiter, request.state.limiter)


def documents_of(request: Request) -> DocumentProcess:
    """Return the process for large documents of this process."""
    return cast(DocumentProcess, request.state.documents)
