"""Stop a server without cutting off requests: deny readiness, ask clients to leave, then close what is idle.

Workers share their listeners with a supervisor. If it kept them open until the workers have ended, the kernel would
take clients meanwhile that nobody serves. It therefore closes them while the workers still accept.

Before a listener is closed, Linux drops further connection requests: a client that the kernel has connected, but no
worker has accepted, would be reset by the close. The client repeats its request after a second and is then refused.
"""

import asyncio
import ctypes
import os
import socket
import struct
import sys
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
            if not _drop_connection_requests(duplicate):
                duplicate.listen(0)  # the kernel still takes one client at a time


_SO_ATTACH_FILTER = 26
_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_TCP_FLAGS, _SYN, _SYN_OR_ACK = 13, 0x02, 0x12
_WHOLE_PACKET = 0xFFFFFFFF
_NO_CONNECTION_REQUESTS = (
    (_BYTE, 0, 0, _TCP_FLAGS),
    (_AND, 0, 0, _SYN_OR_ACK),
    (_JUMP_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _WHOLE_PACKET),
)
"""A packet filter (BPF): the operation, the steps to skip if true and if false, and the operand of each step."""


def _drop_connection_requests(listener: socket.socket) -> bool:
    """Drop SYN packets to a listener, but not the acknowledgments of connections that begin; returns False if not."""
    if sys.platform != "linux":
        return False
    steps = b"".join(struct.pack("HBBI", *step) for step in _NO_CONNECTION_REQUESTS)
    buffer = ctypes.create_string_buffer(steps, len(steps))
    program = struct.pack("HP", len(_NO_CONNECTION_REQUESTS), ctypes.addressof(buffer))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:  # a sandbox may forbid filters
        return False
    return True
