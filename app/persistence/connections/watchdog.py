"""Notice that PostgreSQL or its network stopped responding, and end everything that waits for it.

`statement_timeout` runs inside the server: it never fires in a frozen server or behind a network that drops packets. A
limit on our side would have to be longer than the longest statement. `Watchdog` therefore asks for a reply all the
time on a connection of its own, and ends the other connections when the reply is missing.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakSet

import asyncpg

from app.errors import DatabaseUnavailable
from app.telemetry import get_logger

_log = get_logger(__name__)

_PAUSE_S = 0.75
_REPLY_TIMEOUT_S = 3.0
"""A request that waits for a frozen server ends after at most both times: under 4 s."""

_LATE_S = 0.5
"""A timer that fires this much too late says that this process was busy, not the server."""

_TCP_OPTIONS = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
"""Seconds, seconds, probes and milliseconds: a connection is closed after 30 s of silence, or 10 s without an
acknowledgment. macOS lacks some."""

SERVER_TCP_SETTINGS = {
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""The same for the server's end: what a lost host had locked is free within half a minute, not after hours."""

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

Connection = Any
"""An asyncpg connection; the package has no types."""


async def connect(*arguments: Any, **options: Any) -> Connection:
    """Open an asyncpg connection that the kernel closes when the network drops its packets."""
    connection = await asyncpg.connect(*arguments, **options)
    _keep_alive(connection)
    return connection


class Watchdog:
    """Watches one database for the connections that are opened through it."""

    def __init__(self, address: str, *, pause_s: float = _PAUSE_S, timeout_s: float = _REPLY_TIMEOUT_S) -> None:
        self._address = address
        self._pause_s = pause_s
        self._timeout_s = timeout_s
        self._connections: WeakSet[Connection] = WeakSet()
        self._silent = asyncio.Event()
        self._probe: Connection = None

    async def connect(self, *arguments: Any, **options: Any) -> Connection:
        """Open a connection that ends when the server stops responding; raises `DatabaseUnavailable` while it does."""
        if self._silent.is_set():
            raise DatabaseUnavailable
        opening = asyncio.ensure_future(connect(*arguments, **options))
        silence = asyncio.ensure_future(self._silent.wait())
        try:
            await asyncio.wait({opening, silence}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise DatabaseUnavailable
            connection = opening.result()
        finally:
            silence.cancel()
            opening.cancel()
        self._connections.add(connection)
        return connection

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the database for the duration of the block."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._drop_probe()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._ask()
            except TimeoutError:
                self._drop_probe()
                if loop.time() - began < self._timeout_s + _LATE_S:
                    self._end_connections()
                    continue
            except _FAILURES:
                self._drop_probe()  # the server refuses at once, as it does every other connection
                self._silent.clear()
            else:
                self._silent.clear()
            await asyncio.sleep(self._pause_s)

    async def _ask(self) -> None:
        if self._probe is None:
            self._probe = await connect(self._address, timeout=self._timeout_s, statement_cache_size=0)
        await self._probe.execute("SELECT 1")  # the simple protocol, which every pooler supports

    def _drop_probe(self) -> None:
        if self._probe is not None:
            self._probe.terminate()
            self._probe = None

    def _end_connections(self) -> None:
        if not self._silent.is_set():
            _log.error("database_silent", seconds=self._timeout_s, connections=len(self._connections))
        self._silent.set()
        for connection in list(self._connections):
            connection.terminate()
        self._connections.clear()


def opener(watchdog: Watchdog | None) -> Callable[..., Awaitable[Connection]]:
    """Return the function that opens connections, watched or not."""
    return connect if watchdog is None else watchdog.connect


def _keep_alive(connection: Connection) -> None:
    """Let the kernel probe a TCP connection; does nothing for a Unix socket."""
    connected = connection._transport.get_extra_info("socket")
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS.items():
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
