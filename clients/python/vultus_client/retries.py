"""Decide whether and when a request is sent again."""

import random
from dataclasses import dataclass
from typing import Any

import httpx

from vultus_client.calls import Call
from vultus_client.errors import read_retry_after

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_BUSY = (502, 503, 504)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0


@dataclass(frozen=True, slots=True)
class Retries:
    """Up to `count` further tries of a request, each after the server's `Retry-After` or a growing pause.

    Only what does no harm twice is sent again: reads, searches, `PUT`, `DELETE`, and changes with an Idempotency-Key,
    which the client makes. Any request is sent again if it never left, or if it was refused by a rate (429).
    A server that asks for a longer wait than `max_wait_s` is not asked again.
    """

    count: int = 5
    max_wait_s: float = 60.0

    def after_error(self, call: Call[Any], tries: int, error: httpx.TransportError) -> float | None:
        """Return the seconds to wait after a lost request, or None to give up."""
        if tries > self.count or not (call.can_repeat or isinstance(error, _NEVER_SENT)):
            return None
        return self._pause_s(tries)

    def after_response(self, call: Call[Any], tries: int, response: httpx.Response) -> float | None:
        """Return the seconds to wait after a refusal, or None to give up."""
        is_refused = response.status_code == 429 or (call.can_repeat and response.status_code in _BUSY)
        if tries > self.count or not is_refused:
            return None
        asked_s = read_retry_after(response)
        if asked_s is None:
            return self._pause_s(tries)
        return asked_s + random.uniform(0, 0.1) if asked_s <= self.max_wait_s else None  # noqa: S311

    def _pause_s(self, tries: int) -> float:
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (tries - 1))
        return random.uniform(longest / 2, longest)  # noqa: S311
