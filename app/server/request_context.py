"""Wrap every request with a request id, a log line, metrics and a handler for unexpected errors.

Implemented in plain ASGI, so that streamed bodies are not buffered.
"""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from typing import Protocol, TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, InternalError, NotReady, Overloaded
from app.server.drain import drain
from app.services.tenancy.metering import UsageService, usage_key
from app.telemetry import StageTimes, accept_request_id, error_code, get_logger, request_id, stage_times
from app.telemetry.metrics import known_method, observe_images, observe_request, observe_stage, observe_stage_error
from app.telemetry.spans import Span, SpanKind, root_span

PRINCIPAL, CALLER, IMAGES, OPERATION = "vultus.principal", "vultus.caller", "vultus.images", "vultus.operation"
"""Keys in a request's scope: the authenticated principal, the admitted one, the number of photos sent, and the
operation if the route does not name it.
"""
FOUND_COLLECTION = "vultus.found_collection"
"""Key in a request's scope: the collection that was found together with the caller."""
_COUNTED = "vultus.counted"
"""Key in a request's scope: the usage key under which its committed change was counted."""

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    # Swagger UI's page has one inline script and inline styles; everything else is served from this host.
    "content-security-policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
}

_UNTRACED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

_access = get_logger("vultus.access")
_log = get_logger("vultus.error")


ErrorRenderer = Callable[[str, AppError], Response]
"""Turns an error into a response, in the format of the protocol that a path serves."""


class _WithUsage(Protocol):
    """Services of one transaction, with those that count."""

    def usage(self) -> UsageService: ...


S = TypeVar("S", bound=_WithUsage)


class _Exchange:
    """One request and its response, as far as the log and the metrics need them."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.request_id = accept_request_id(Headers(scope=scope).get("x-request-id"))
        self.times = StageTimes()
        self.status = 0
        """The response's status; 0 until the response has begun."""
        self.is_replayed = False
        self._started = time.perf_counter()

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    def record(self) -> None:
        """Write the log line, and count the request in metrics and usage."""
        route, seconds = self.scope.get("route"), time.perf_counter() - self._started
        # Log the route's template, not the path: a path may contain a person's id.
        template = getattr(route, "path", None)
        operation = {"operation": self.scope[OPERATION]} if OPERATION in self.scope else {}
        _access.info(
            "request",
            method=known_method(self.scope["method"]),  # a client may send anything
            route=template,
            status=self.status,
            ms=round(seconds * 1000, 1),
            **operation,
            **self._describe_caller(),
        )
        observe_request(template or "none", self.scope["method"], self.status, seconds)
        for stage, stage_s in self.times.items():
            observe_stage(stage, stage_s)
        for stage in self.times.failed:
            observe_stage_error(stage)
        _meter(self.scope, is_success=200 <= self.status < 300 and not self.is_replayed)

    def describe(self, span: Span) -> None:
        """Name the request's span: the route's template, the method and the status, and the code of an error."""
        template = getattr(self.scope.get("route"), "path", None)
        method = known_method(self.scope["method"])
        span.rename(f"{method} {template or 'none'}")
        span.set("http.request.method", method)
        if template is not None:
            span.set("http.route", template)
        if OPERATION in self.scope:
            span.set("vultus.operation", self.scope[OPERATION])
        if self.status:
            span.set("http.response.status_code", self.status)
        code = error_code.get()
        if code is not None or self.status >= 500:
            span.fail(code or str(self.status), self.status >= 500)

    def _describe_caller(self) -> dict[str, str]:
        """Return the address, the tenant and the caller as far as they are known, and the code of an error."""
        client, principal = self.scope.get("client"), self.scope.get(PRINCIPAL)
        described = {"address": client[0]} if client else {}
        if principal is not None:
            described |= {"tenant": str(principal.tenant_id), "caller": principal.name}
        code = error_code.get()
        return described if code is None else {**described, "code": code}


class RequestContext:
    """Sets the request id (the client's, if it is safe), returns it in `x-request-id` and logs one line per request.

    An exception that no other handler caught becomes a 500 here. The log gets its stack frames without any values.
    """

    def __init__(self, app: ASGIApp, *, render_error: ErrorRenderer, is_https_only: bool = False) -> None:
        self._app = app
        self._render_error = render_error
        self._headers = dict(SECURITY_HEADERS)
        if is_https_only:
            self._headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope)
        request_id.set(exchange.request_id)  # each request runs in its own task, so this needs no reset
        stage_times.set(exchange.times)
        error_code.set(None)
        with _request_span(scope) as span:
            try:
                await self._respond(exchange, receive, send)
            finally:
                exchange.record()
                if span is not None:
                    exchange.describe(span)

    async def _respond(self, exchange: _Exchange, receive: Receive, send: Send) -> None:
        scope = exchange.scope

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.is_replayed = "idempotent-replayed" in MutableHeaders(scope=message)
                self._add_headers(MutableHeaders(scope=message), exchange)
            await send(message)

        async def respond(error: AppError) -> None:
            if not exchange.status:
                await self._render_error(exchange.path, error)(scope, receive, send_with_headers)

        try:
            await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The server's shutdown timeout has passed: tell the remaining clients to retry.
            await respond(NotReady("The service is stopping."))
            raise
        except MemoryError as exc:
            _log.error("out_of_memory", frames=describe_frames(exc))
            await respond(Overloaded("The server has too little memory left for this request. Retry later."))
        except Exception as exc:  # noqa: BLE001 - not re-raised: the server would log the message, which may be personal data
            _log.error("unexpected_error", error=type(exc).__name__, frames=describe_frames(exc))
            await respond(InternalError())

    def _add_headers(self, headers: MutableHeaders, exchange: _Exchange) -> None:
        headers["x-request-id"] = exchange.request_id
        timing = exchange.times.as_server_timing()
        if timing:
            headers["server-timing"] = timing
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        if drain.has_begun:
            headers["connection"] = "close"
        if exchange.path.startswith("/api/"):
            headers.setdefault("cache-control", "no-store")


def _request_span(scope: Scope) -> AbstractContextManager[Span | None]:
    """Start the request's span, in the caller's trace if it names one; probes and scrapes have none."""
    if scope["path"] in _UNTRACED_PATHS:
        return nullcontext()
    return root_span("request", SpanKind.SERVER, Headers(scope=scope).get("traceparent"))


@asynccontextmanager
async def counted_change(scope: Scope, transaction: AbstractAsyncContextManager[S]) -> AsyncIterator[S]:
    """Count the request as a change in the transaction of its work; nothing is counted if that is rolled back."""
    key, images = None, scope.get(IMAGES, 0)
    async with transaction as services:
        yield services
        principal = scope.get(CALLER)
        if principal is not None:
            key = usage_key(principal, _operation(scope))
            await services.usage().count_change(key, images)
    if key is not None:
        scope[_COUNTED] = key, images


def _operation(scope: Scope) -> str:
    return str(scope.get(OPERATION) or getattr(scope.get("route"), "name", ""))


def _meter(scope: Scope, *, is_success: bool) -> None:
    """Count a successful call in the usage of its authenticated caller, unless its change was counted already."""
    principal, images, counted = scope.get(CALLER), scope.get(IMAGES, 0), scope.get(_COUNTED)
    if principal is None:
        return
    meter = scope["state"]["process"].meter
    if is_success:
        observe_images(images)
        if counted is None:
            meter.count(principal, _operation(scope), images)
    elif counted is not None:
        meter.take_back(principal, *counted)


def describe_frames(exc: Exception) -> list[str]:
    """Return the last 8 stack frames, innermost last, as locations without values or source code."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)[-8:]]
