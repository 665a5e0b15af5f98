"""Stop a server without cutting off requests: deny readiness, ask clients to leave, then close what is idle.

Workers share their listeners with a supervisor. If it kept them open until the workers have ended, the kernel would
take clients meanwhile that nobody serves. It therefore closes them while the workers still accept.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import uvicorn
from uvicorn.supervisors import multiprocess

_GRACE_S = 1.0
"""How long new connections are still accepted. Every response of this time closes its connection."""
_BACKLOG_S = 0.1
_SUPERVISED_S = 0.2
"""How much longer a worker accepts: it notices a signal within 0.1 s, and may do so before another worker."""


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
        if sockets:  # the supervisor refuses clients, unless other workers go on
            await asyncio.sleep(_SUPERVISED_S)
        else:
            _refuse_clients(listener for one in server.servers for listener in one.sockets)
        await asyncio.sleep(_BACKLOG_S)
        await shutdown(server, sockets)

    drain_and_shut_down.drains = True  # type: ignore[attr-defined]
    return drain_and_shut_down


def install_supervised_drain() -> None:
    """Let uvicorn's supervisor close its listeners before its workers stop to accept clients."""
    supervisor = multiprocess.Multiprocess
    if not getattr(supervisor.terminate_all, "drains", False):
        setattr(supervisor, "terminate_all", _draining_all(supervisor.terminate_all))  # noqa: B010 - replaces a method


def _draining_all(terminate_all: Callable[[Any], None]) -> Callable[[Any], None]:
    def terminate_all_and_close(supervisor: Any) -> None:
        terminate_all(supervisor)
        time.sleep(_GRACE_S)
        _refuse_clients(supervisor.sockets)
        for listener in supervisor.sockets:
            listener.close()

    terminate_all_and_close.drains = True  # type: ignore[attr-defined]
    return terminate_all_and_close


def _refuse_clients(listeners: Iterable[socket.socket]) -> None:
    """Let the kernel take no further clients, so that closing the listeners cuts off none that it has taken."""
    for listener in listeners:
        with socket.socket(fileno=os.dup(listener.fileno())) as duplicate:
            duplicate.listen(0)
