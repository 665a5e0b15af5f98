"""Limits on a request's body: its size, and the rate at which it arrives."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import RequestTimeout, RequestTooLarge
from app.server.request_context import ErrorResponder

MAX_PLAIN_BODY = 64 * 1024
"""For every body without images: JSON and sign-in forms are small."""

MIN_BODY_RATE = 4 * 1024
"""Bytes a second, on average, after the first seconds that a stall may take."""


class BodyLimit:
    """Refuses a body that is too large, from its headers where they say so, or that stalls."""

    def __init__(
        self, app: ASGIApp, *, answer_error: ErrorResponder, most_bytes: Callable[[str, Headers], int], timeout_s: float
    ) -> None:
        """`most_bytes` tells from a request's path and headers how large its body may be."""
        self._app = app
        self._answer_error = answer_error
        self._most_bytes = most_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._most_bytes(scope["path"], Headers(scope=scope))
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            await self._answer_error(scope["path"], too_large(int(declared), limit))(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive, limit), send)

    def _bounded(self, receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
        seen, is_complete, began = 0, False, time.monotonic()

        async def receive_within_limits() -> Message:
            nonlocal seen, is_complete
            if is_complete:  # what is waited for now is the end of the connection, which may take its time
                return await receive()
            # What has arrived buys time at the slowest rate we take; a body that dribbles runs out of it.
            left_s = began + self._timeout_s + seen / MIN_BODY_RATE - time.monotonic()
            try:
                async with asyncio.timeout(min(self._timeout_s, left_s)):
                    message = await receive()
            except TimeoutError as exc:
                raise RequestTimeout(
                    f"The body stalled for {self._timeout_s:g} seconds or came below {MIN_BODY_RATE} bytes a second."
                ) from exc
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                is_complete = not message.get("more_body", False)
                if seen > limit:
                    raise too_large(seen, limit)
            return message

        return receive_within_limits


def too_large(size: int, limit: int) -> RequestTooLarge:
    """The error for a body of `size` bytes (so far) where `limit` are allowed."""
    return RequestTooLarge(f"The body has {size} bytes or more; this route accepts {limit}.")
