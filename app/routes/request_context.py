"""Around every request: its id, its log line, a limit on its body. Plain ASGI, so that streams stay streams."""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import RequestTooLarge
from app.routes.error_handlers import problem
from app.telemetry import accept_request_id, get_logger, request_id

MAX_PLAIN_BODY = 64 * 1024
"""For every body that is not multipart/form-data: JSON and sign-in forms are small."""

_log = get_logger("vultus.access")


class RequestContext:
    """Sets the request id (the caller's own when it is safe), answers it in `x-request-id`, logs one line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = accept_request_id(Headers(scope=scope).get("x-request-id"))
        request_id.set(current)  # a request has a task of its own, so this needs no reset
        started, status = time.perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = current
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            route = scope.get("route")
            _log.info(
                "request",
                method=scope["method"],
                # The template, never the path itself: a path may carry the id of a person.
                route=getattr(route, "path", None),
                status=status,
                ms=round((time.perf_counter() - started) * 1000, 1),
            )


class BodyLimit:
    """Refuses a body that is too large: from its headers where they say so, else as soon as it is."""

    def __init__(self, app: ASGIApp, *, max_multipart_bytes: int) -> None:
        self._app = app
        self._max_multipart_bytes = max_multipart_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_multipart = headers.get("content-type", "").lower().startswith("multipart/form-data")
        limit = self._max_multipart_bytes if is_multipart else MAX_PLAIN_BODY
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            await problem(too_large(int(declared), limit))(scope, receive, send)
            return
        seen = 0

        async def receive_within_limit() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise too_large(seen, limit)
            return message

        await self._app(scope, receive_within_limit, send)


def too_large(size: int, limit: int) -> RequestTooLarge:
    """The error for a body of `size` bytes (so far) where `limit` are allowed."""
    return RequestTooLarge(f"The body has {size} bytes or more; this route accepts {limit}.")
