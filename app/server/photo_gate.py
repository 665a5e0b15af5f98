"""Refuses requests with photos above a number under way, before anything is done for them."""

import time
from collections import Counter
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded
from app.server.request_context import ErrorResponder

_LONGEST_RETRY_S = 15


class PhotoGate:
    """Lets so many requests with photos be under way at a time, and refuses more before anything is done for them.

    What is refused here costs next to nothing, so that a flood does not take the time of those being served. Who calls
    is not known yet; a credential that has less than its share under way is let in all the same, up to twice as many,
    and finds its turn by tenant further on (`ml/executor.py`).
    """

    def __init__(
        self, app: ASGIApp, *, answer_error: ErrorResponder, has_photos: Callable[[str, Headers], bool], most: int
    ) -> None:
        """`has_photos` tells from a request's path and headers whether the networks will run for it."""
        self._app = app
        self._answer_error = answer_error
        self._has_photos = has_photos
        self._most = most
        self._under_way = Counter[int]()
        self._refused = (0, 0)
        """The second, and how many were refused in it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._has_photos(scope["path"], Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        caller = _credential(Headers(scope=scope))
        if not self._has_room_for(caller):
            await self._answer_error(scope["path"], self._refusal())(scope, receive, send)
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
