"""Stop a server without cutting off requests: deny readiness, ask clients to leave, then close what is idle."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

_GRACE_S = 1.0
"""How long new connections are still accepted. Every response of this time closes its connection."""
_BACKLOG_S = 0.1


class Drain:
    """Whether this process is stopping."""

    def __init__(self) -> None:
        self.has_begun = False


drain = Drain()


def install_drain() -> None:
    """Let uvicorn drain before it shuts down. It has no hook for that, and starts its servers in several ways."""
    if not getattr(uvicorn.Server.shutdown, "drains", False):
        setattr(uvicorn.Server, "shutdown", _draining(uvicorn.Server.shutdown))  # noqa: B010 - replaces a method


def _draining(shutdown: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def drain_and_shut_down(server: Any, sockets: list[socket.socket] | None = None) -> None:
        drain.has_begun = True
        await asyncio.sleep(_GRACE_S)
        if not sockets:  # those are shared with workers that may go on
            _refuse_clients(server)
            await asyncio.sleep(_BACKLOG_S)
        await shutdown(server, sockets)

    drain_and_shut_down.drains = True  # type: ignore[attr-defined]
    return drain_and_shut_down


def _refuse_clients(server: Any) -> None:
    """Let the kernel take no further clients, so that closing the listeners cuts off none that it has taken."""
    for listener in (listener for one in server.servers for listener in one.sockets):
        with socket.socket(fileno=os.dup(listener.fileno())) as duplicate:
            duplicate.listen(0)
