"""Around every request: its id, its log line, its last resort, a limit on its body. Plain ASGI, so streams stay so."""

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import InternalError, NotReady, Overloaded, RequestTimeout, RequestTooLarge
from app.routes.error_handlers import answer_error
from app.telemetry import StageTimes, accept_request_id, get_logger, request_id, stage_times
from app.telemetry.metrics import observe_images, observe_request, observe_stage

MAX_PLAIN_BODY = 64 * 1024
"""For every body without images: JSON and sign-in forms are small."""

CALLER, IMAGES, OPERATION = "vultus.caller", "vultus.images", "vultus.operation"
"""In a request's scope: who was let through, how many photos they sent, and what they did where the route does not say.
"""

_LONGEST_RETRY_S = 15

MIN_BODY_RATE = 4 * 1024
"""Bytes a second, on average, after the first seconds that a stall may take."""

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


class RequestContext:
    """Sets the request id (the caller's own when it is safe), answers it in `x-request-id`, logs one line.

    Also the last resort: what nobody caught becomes a 500 here, and its frames, without values, the log's.
    """

    def __init__(self, app: ASGIApp, *, is_https_only: bool = False) -> None:
        self._app = app
        self._headers = dict(SECURITY_HEADERS)
        if is_https_only:
            self._headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
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
                await answer_error(scope["path"], NotReady("The service is stopping."))(
                    scope, receive, send_with_headers
                )
            raise
        except Exception as exc:  # noqa: BLE001 - re-raised, the server would log its message, which may hold personal data
            _log.error("unexpected_error", error=type(exc).__name__, frames=_frames(exc))
            if not status:
                await answer_error(scope["path"], InternalError())(scope, receive, send_with_headers)
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
        scope["state"]["meter"].count(principal, operation, images)
        observe_images(images)


class Gate:
    """Lets so many requests with photos be under way at a time, and refuses more before anything is done for them.

    What is refused here costs next to nothing, so that a flood does not take the time of those being served. Who calls
    is not known yet; a credential that has less than its share under way is let in all the same, up to twice as many,
    and finds its turn by tenant further on (`ml/executor.py`).
    """

    def __init__(self, app: ASGIApp, *, has_photos: Callable[[str, Headers], bool], most: int) -> None:
        """`has_photos` tells from a request's path and headers whether the networks will run for it."""
        self._app = app
        self._has_photos = has_photos
        self._most = most
        self._under_way = Counter[int]()
        self._refused = (0, 0)
        """The second, and how many were refused in it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http" or not self._has_photos(scope["path"], Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        caller = _credential(Headers(scope=scope))
        if not self._has_room_for(caller):
            await answer_error(scope["path"], self._refusal())(scope, receive, send)
            return
        self._under_way[caller] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]

    def _refusal(self) -> Overloaded:
        second = int(time.monotonic())
        self._refused = (second, self._refused[1] + 1 if self._refused[0] == second else 1)
        return Overloaded(
            f"{self._under_way.total()} requests with photos are under way, which is the limit.",
            # The more are refused, the later they are to come back: refusing all of them every second costs others.
            retry_after_s=min(_LONGEST_RETRY_S, 1 + 4 * self._refused[1] // self._most),
        )

    def _has_room_for(self, caller: int) -> bool:
        total = self._under_way.total()
        share = self._most / (len(self._under_way) + (caller not in self._under_way))
        return total < self._most or (total < 2 * self._most and self._under_way[caller] < share)


def _credential(headers: Headers) -> int:
    """A number for whoever sends the same credential; hashed, since it is kept."""
    given = headers.get("authorization") or headers.get("x-api-key") or ""
    # Of a signature only the access key stays the same from one request to the next.
    return hash(given.partition("/")[0] if given.startswith("AWS4-") else given)


class BodyLimit:
    """Refuses a body that is too large, from its headers where they say so, or that stalls."""

    def __init__(self, app: ASGIApp, *, most_bytes: Callable[[str, Headers], int], timeout_s: float) -> None:
        """`most_bytes` tells from a request's path and headers how large its body may be."""
        self._app = app
        self._most_bytes = most_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._most_bytes(scope["path"], Headers(scope=scope))
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            await answer_error(scope["path"], too_large(int(declared), limit))(scope, receive, send)
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


def _frames(exc: Exception) -> list[str]:
    """Where it happened, innermost last: places only, neither values nor source."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)[-8:]]
