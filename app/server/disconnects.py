"""Notice that a client has closed its connection, so that work nobody waits for leaves the queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

Disconnect = asyncio.Future[None]
"""Done when the client has closed the connection."""


async def get_disconnect() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


DisconnectDep = Annotated["asyncio.Future[None]", Depends(get_disconnect)]


@asynccontextmanager
async def watch_connection(request: Request, disconnect: Disconnect) -> AsyncIterator[None]:
    """Resolve `disconnect` when the client leaves during the block. Requires a body that was read completely."""
    task = asyncio.create_task(_watch(request, disconnect))
    try:
        yield
    finally:
        task.cancel()


async def _watch(request: Request, disconnect: Disconnect) -> None:
    # After a complete body, the next message is the end of the connection.
    while (await request.receive())["type"] != "http.disconnect":
        pass
    if not disconnect.done():
        disconnect.set_result(None)
