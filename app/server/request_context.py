"""Around every request: its id, its log line, its metrics, its last resort. Plain ASGI, so streams stay streams."""

import asyncio
import time
import traceback
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, InternalError, NotReady
from app.telemetry import StageTimes, accept_request_id, get_logger, request_id, stage_times
from app.telemetry.metrics import observe_images, observe_request, observe_stage

CALLER, IMAGES, OPERATION = "vultus.caller", "vultus.images", "vultus.operation"
"""In a request's scope: who was let through, how many photos they sent, and what they did where the route does not say.
"""

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    # Swagger UI's page has one inline script and styles; nothing comes from anywhere else.
    "content-security-policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
}

_access = get_logger("vultus.access")
_log = get_logger("vultus.error")


ErrorResponder = Callable[[str, AppError], Response]
"""Turns an error into a response, in the format of the protocol that is spoken at a path."""


class RequestContext:
    """Sets the request id (the caller's own when it is safe), answers it in `x-request-id`, logs one line.

    Also the last resort: what nobody caught becomes a 500 here, and its frames, without values, the log's.
    """

    def __init__(self, app: ASGIApp, *, answer_error: ErrorResponder, is_https_only: bool = False) -> None:
        self._app = app
        self._answer_error = answer_error
        self._headers = dict(SECURITY_HEADERS)
        if is_https_only:
            self._headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = accept_request_id(Headers(scope=scope).get("x-request-id"))
        request_id.set(current)  # a request has a task of its own, so this needs no reset
        times = StageTimes()
        stage_times.set(times)
        started, status, is_replayed = time.perf_counter(), 0, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_replayed
            if message["type"] == "http.response.start":
                status = message["status"]
                is_replayed = "idempotent-replayed" in MutableHeaders(scope=message)
                self._complete(MutableHeaders(scope=message), scope["path"], current, times)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The server drains no longer: whoever still waits is told to come back.
            if not status:
                await self._answer_error(scope["path"], NotReady("The service is stopping."))(
                    scope, receive, send_with_headers
                )
            raise
        except Exception as exc:  # noqa: BLE001 - re-raised, the server would log its message, which may hold personal data
            _log.error("unexpected_error", error=type(exc).__name__, frames=_frames(exc))
            if not status:
                await self._answer_error(scope["path"], InternalError())(scope, receive, send_with_headers)
        finally:
            route, seconds = scope.get("route"), time.perf_counter() - started
            # The template, never the path itself: a path may carry the id of a person.
            path = getattr(route, "path", None)
            done = {"operation": scope[OPERATION]} if OPERATION in scope else {}
            _access.info(
                "request", method=scope["method"], route=path, status=status, ms=round(seconds * 1000, 1), **done
            )
            observe_request(path or "none", scope["method"], status, seconds)
            for stage, stage_s in times.items():
                observe_stage(stage, stage_s)
            if 200 <= status < 300 and not is_replayed:
                _meter(scope, str(scope.get(OPERATION) or getattr(route, "name", "")))

    def _complete(self, headers: MutableHeaders, path: str, current: str, times: StageTimes) -> None:
        headers["x-request-id"] = current
        timing = times.as_server_timing()
        if timing:
            headers["server-timing"] = timing
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        if path.startswith("/api/"):
            headers.setdefault("cache-control", "no-store")


def _meter(scope: Scope, operation: str) -> None:
    """Count what was answered for a caller who is known."""
    principal, images = scope.get(CALLER), scope.get(IMAGES, 0)
    if principal is not None:
        scope["state"]["process"].meter.count(principal, operation, images)
        observe_images(images)


def _frames(exc: Exception) -> list[str]:
    """Where it happened, innermost last: places only, neither values nor source."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)[-8:]]
