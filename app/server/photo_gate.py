"""Limit the number of photo requests in flight; refuse the rest before any work is done for them."""

import time
from collections import Counter
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded
from app.server.request_context import ErrorRenderer

_MAX_RETRY_S = 15


class PhotoGate:
    """Admits at most `max_in_flight` photo requests at a time and refuses the rest with `Overloaded`.

    A refusal costs almost nothing, so a flood does not slow down the admitted requests. The gate runs before
    authentication and therefore counts by credential. A credential below its fair share is still admitted, up to a
    total of twice `max_in_flight`; `ml/executor.py` then takes turns between tenants.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        render_error: ErrorRenderer,
        has_photos: Callable[[str, Headers], bool],
        max_in_flight: int,
    ) -> None:
        """Take `has_photos`, which tells from a request's path and headers whether it will run the networks."""
        self._app = app
        self._render_error = render_error
        self._has_photos = has_photos
        self._max_in_flight = max_in_flight
        self._in_flight = Counter[int]()
        """Requests by hashed credential."""
        self._refused = (0, 0)
        """The current second, and the number of requests refused in it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._has_photos(scope["path"], Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        caller = _credential(Headers(scope=scope))
        if not self._has_room_for(caller):
            await self._render_error(scope["path"], self._refusal())(scope, receive, send)
            return
        self._in_flight[caller] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight[caller] -= 1
            if not self._in_flight[caller]:
                del self._in_flight[caller]

    def _refusal(self) -> Overloaded:
        second = int(time.monotonic())
        self._refused = (second, self._refused[1] + 1 if self._refused[0] == second else 1)
        return Overloaded(
            f"{self._in_flight.total()} photo requests are in flight; at most {self._max_in_flight} are allowed. "
            f"Try again later.",
            # The more requests are refused, the later they should retry: refusals also cost time.
            retry_after_s=min(_MAX_RETRY_S, 1 + 4 * self._refused[1] // self._max_in_flight),
        )

    def _has_room_for(self, caller: int) -> bool:
        total = self._in_flight.total()
        share = self._max_in_flight / (len(self._in_flight) + (caller not in self._in_flight))
        return total < self._max_in_flight or (total < 2 * self._max_in_flight and self._in_flight[caller] < share)


def _credential(headers: Headers) -> int:
    """Return a hash of the request's credential; the credential itself must not stay in memory."""
    credential = headers.get("authorization") or headers.get("x-api-key") or ""
    # In a signature, only the access key is the same in every request.
    return hash(credential.partition("/")[0] if credential.startswith("AWS4-") else credential)
