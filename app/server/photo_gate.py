"""Limit the number of photo requests in flight; refuse the rest before any work is done for them."""

import time
from collections import Counter
from collections.abc import Callable, Hashable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded
from app.server.request_context import ErrorRenderer

_MAX_RETRY_S = 15
_PLACE = "vultus.place"
"""Key in a request's scope."""


class PhotoGate:
    """Admits at most `max_in_flight` photo requests at a time and refuses the rest with `Overloaded`.

    A refusal costs almost nothing, so a flood does not slow down the admitted requests. The gate runs before
    authentication and therefore first counts by credential; `assign_place` then counts by tenant, before the body is
    received. A caller below its fair share is still admitted, up to a total of twice `max_in_flight`, so a tenant with
    many slow uploads leaves room for others. `ml/executor.py` then takes turns between tenants.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        render_error: ErrorRenderer,
        has_photos: Callable[[str, Headers], bool],
        max_in_flight: int,
        kind: str = "photo requests",
    ) -> None:
        """Take `has_photos`, which tells from a request's path and headers whether it will run the networks.

        Another gate of this kind bounds uploads of videos; `kind` names in refusals what a gate counts.
        """
        self._app = app
        self._render_error = render_error
        self._has_photos = has_photos
        self._max_in_flight = max_in_flight
        self._kind = kind
        self._in_flight = Counter[Hashable]()
        """Requests by tenant; before the authentication by hashed credential."""
        self._refused = (0, 0)
        """The current second, and the number of requests refused in it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._has_photos(scope["path"], Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        caller = hash_credential(Headers(scope=scope))
        if not self._has_room_for(caller):
            await self._render_error(scope["path"], self._refusal())(scope, receive, send)
            return
        place = scope[_PLACE] = _Place(self, caller)
        self._in_flight[caller] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._leave(place.caller)

    def assign(self, place: "_Place", tenant: Hashable) -> None:
        """Count a place for a tenant from now on; raises `Overloaded` if the tenant has its share already."""
        self._leave(place.caller)
        has_room = self._has_room_for(tenant)
        place.caller = tenant
        self._in_flight[tenant] += 1
        if not has_room:
            raise self._refusal()

    def _leave(self, caller: Hashable) -> None:
        self._in_flight[caller] -= 1
        if not self._in_flight[caller]:
            del self._in_flight[caller]

    def _refusal(self) -> Overloaded:
        second = int(time.monotonic())
        self._refused = (second, self._refused[1] + 1 if self._refused[0] == second else 1)
        return Overloaded(
            f"{self._in_flight.total()} {self._kind} are in flight; at most {self._max_in_flight} are allowed. "
            f"Try again later.",
            # The more requests are refused, the later they should retry: refusals also cost time.
            retry_after_s=min(_MAX_RETRY_S, 1 + 4 * self._refused[1] // self._max_in_flight),
        )

    def _has_room_for(self, caller: Hashable) -> bool:
        total = self._in_flight.total()
        share = self._max_in_flight / (len(self._in_flight) + (caller not in self._in_flight))
        return total < self._max_in_flight or (total < 2 * self._max_in_flight and self._in_flight[caller] < share)


@dataclass(slots=True)
class _Place:
    """A request in flight, and whom it counts for."""

    gate: PhotoGate
    caller: Hashable


def assign_place(scope: MutableMapping[str, Any], tenant: Hashable) -> None:
    """Count a photo request for its tenant; raises `Overloaded` beyond the tenant's share. Other requests pass."""
    place = scope.get(_PLACE)
    if place is not None and place.caller != tenant:
        place.gate.assign(place, tenant)


def hash_credential(headers: Headers) -> int:
    """Return a hash of the request's credential; the credential itself must not stay in memory."""
    credential = headers.get("authorization") or headers.get("x-api-key") or ""
    # In a signature, only the access key is the same in every request.
    return hash(credential.partition("/")[0] if credential.startswith("AWS4-") else credential)
