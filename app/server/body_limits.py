"""Limit the size of a request's body and the time that it takes to arrive; refuse compressed ones."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, RequestTimeout, RequestTooLarge, UnsupportedMediaType
from app.server.request_context import ErrorRenderer

MAX_PLAIN_BODY = 64 * 1024
"""Bytes; for every body without images, such as JSON and login forms."""

MIN_BODY_RATE = 4 * 1024
"""Bytes per second, on average, after an initial allowance of the stall timeout."""


class BodyLimit:
    """Refuses a body that is too large, too slow or compressed; from the headers, without reading it, if possible."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        render_error: ErrorRenderer,
        max_bytes: Callable[[str, Headers], int],
        has_route: Callable[[Scope], bool],
        timeout_s: float,
    ) -> None:
        """Take `max_bytes`, which returns the allowed body size for a request's path and headers.

        `has_route` tells whether any route serves the path: if none does, that is reported, not the body's size.
        `timeout_s` is how long the body may stall.
        """
        self._app = app
        self._render_error = render_error
        self._max_bytes = max_bytes
        self._has_route = has_route
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._max_bytes(scope["path"], headers)
        error = _refusal(headers, limit)
        if error is not None and self._has_route(scope):
            await self._render_error(scope["path"], error)(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive, limit), send)

    def _bounded(self, receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
        seen, is_complete, began = 0, False, time.monotonic()

        async def receive_within_limits() -> Message:
            nonlocal seen, is_complete
            if is_complete:  # the next message is the disconnect, which has no time limit
                return await receive()
            # Every received byte extends the deadline at the minimum rate, so a trickling body times out.
            left_s = began + self._timeout_s + seen / MIN_BODY_RATE - time.monotonic()
            try:
                async with asyncio.timeout(min(self._timeout_s, left_s)):
                    message = await receive()
            except TimeoutError as exc:
                raise RequestTimeout(
                    f"The body stalled for {self._timeout_s:g} seconds or arrived more slowly than {MIN_BODY_RATE} "
                    f"bytes per second."
                ) from exc
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                is_complete = not message.get("more_body", False)
                if seen > limit:
                    raise too_large(seen, limit)
            return message

        return receive_within_limits


def _refusal(headers: Headers, limit: int) -> AppError | None:
    """Return the error for headers that announce a body that is too large or compressed."""
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        return too_large(int(declared), limit)
    encodings = ", ".join(headers.getlist("content-encoding"))
    if all(encoding.strip().lower() in ("", "identity") for encoding in encodings.split(",")):
        return None
    return UnsupportedMediaType(
        f"Content-Encoding: {encodings[:64]} is not supported; send the body without compression.",
        headers={"accept-encoding": "identity"},
    )


def too_large(size: int, limit: int) -> RequestTooLarge:
    """Build the error for a body of at least `size` bytes where `limit` bytes are allowed."""
    return RequestTooLarge(f"The body has at least {size} bytes; this route accepts at most {limit}.")
