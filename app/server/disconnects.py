"""Detect that a client has disconnected, so that its waiting work can leave the queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.server.caller_turns import end_turn

Disconnect = asyncio.Future[None]
"""Done when the client has disconnected."""


async def get_disconnect() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


DisconnectDep = Annotated["asyncio.Future[None]", Depends(get_disconnect)]


@asynccontextmanager
async def watch_connection(request: Request, disconnect: Disconnect) -> AsyncIterator[None]:
    """Resolve `disconnect` if the client disconnects during the block. The body must have been read completely.

    Ends the request's turn at the event loop: in the block, tenants take turns at inference.
    """
    end_turn(request.scope)
    task = asyncio.create_task(_watch(request, disconnect))
    try:
        yield
    finally:
        task.cancel()


async def _watch(request: Request, disconnect: Disconnect) -> None:
    # After a complete body, the next message is the disconnect.
    while (await request.receive())["type"] != "http.disconnect":
        pass
    if not disconnect.done():
        disconnect.set_result(None)
