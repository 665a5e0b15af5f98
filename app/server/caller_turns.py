"""Let callers take turns at the event loop, so that one with many requests delays its own and not those of others.

Every request needs a millisecond of the event loop, also one that is refused. Without turns, a request waits in each of
its steps for all others that are being processed.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Hashable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.server.client_address import group_of
from app.server.photo_gate import hash_credential
from app.server.request_context import PRINCIPAL

_AT_ONCE = 2
"""Requests of one caller that are processed at a time while others send requests too."""
_PAUSE_S = 0.01
"""A caller with waiting requests starts at least one in this time, even if requests of others are being processed."""
_MAX_HOLD_S = 0.25
"""A turn ends after this time at the latest: a slow body or a long export keeps no other request waiting."""
_MAX_WAIT_S = 2.0
_REMEMBERED_S = 5.0
"""A caller counts as sending requests for this time after the last one."""
_KNOWN_CREDENTIALS = 10_000
_TURN = "vultus.turn"
"""Key in a request's scope."""
_FREE_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


@dataclass(slots=True, eq=False)
class _Turn:
    turns: "CallerTurns"
    caller: Hashable
    is_over: bool = False
    is_answered: bool = False


class CallerTurns:
    """Starts a caller's requests at once while it is the only one; otherwise few at a time, and others' first.

    Callers are tenants; those whose credential was not accepted before are told apart by their address. Nothing is
    refused here, and nobody waits longer than 2 s.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._active = Counter[Hashable]()
        """Requests in their turn, by caller."""
        self._present = Counter[Hashable]()
        """Requests without an answer, by caller, also when their turn is over."""
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._seen: dict[Hashable, float] = {}
        """When each caller sent its last request, the earliest first."""
        self._tenants: dict[int, Hashable] = {}
        """The tenant of each hashed credential that was accepted, the earliest first."""
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _FREE_PATHS:
            await self._app(scope, receive, send)
            return
        credential = hash_credential(Headers(scope=scope))
        client = scope.get("client")
        caller = self._tenants.get(credential) or group_of(client[0] if client else "")
        await self._wait_for_turn(caller)
        turn = scope[_TURN] = _Turn(self, caller)
        self._present[caller] += 1
        timer = asyncio.get_running_loop().call_later(_MAX_HOLD_S, self._leave, turn)
        try:
            await self._app(scope, receive, send)
        finally:
            timer.cancel()
            self._leave(turn)
            self._remember(credential, scope)

    def end(self, turn: _Turn) -> None:
        """Let another request start; does nothing if the turn is over."""
        if turn.is_over:
            return
        turn.is_over = True
        _decrease(self._active, turn.caller)
        self._start_waiting_if_alone()

    def _leave(self, turn: _Turn) -> None:
        self.end(turn)
        if not turn.is_answered:
            turn.is_answered = True
            _decrease(self._present, turn.caller)
            self._start_waiting_if_alone()

    async def _wait_for_turn(self, caller: Hashable) -> None:
        """Return when a request may start, which then counts as active."""
        if self._is_alone(caller):
            for future in list(self._waiting.get(caller, ())):
                self._start(caller, future)
        elif self._active[caller] >= _AT_ONCE or caller in self._waiting:
            await self._wait(caller)
            return
        self._active[caller] += 1

    async def _wait(self, caller: Hashable) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.setdefault(caller, deque()).append(future)
        timer = loop.call_later(_MAX_WAIT_S, self._start, caller, future)
        self._timer = self._timer or loop.call_later(_PAUSE_S, self._start_regularly)
        try:
            await future
        except asyncio.CancelledError:
            self._start(caller, future)
            self.end(_Turn(self, caller))
            raise
        finally:
            timer.cancel()

    def _is_alone(self, caller: Hashable) -> bool:
        """Note a request, and return whether no other caller has sent one lately."""
        now = asyncio.get_running_loop().time()
        self._seen.pop(caller, None)
        self._seen[caller] = now
        while self._seen[earliest := next(iter(self._seen))] < now - _REMEMBERED_S:
            del self._seen[earliest]
        return len(self._seen) == 1

    def _start_regularly(self) -> None:
        self._start_waiting()
        self._timer = None
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self._start_regularly)

    def _start_waiting_if_alone(self) -> None:
        """Start waiting requests unless a caller without waiting ones expects an answer."""
        if self._waiting and self._present.keys() <= self._waiting.keys():
            self._start_waiting()

    def _start_waiting(self) -> None:
        """Start the first waiting request of each caller that has not too many active ones."""
        for caller, waiting in list(self._waiting.items()):
            if self._active[caller] < _AT_ONCE:
                self._start(caller, waiting[0])

    def _start(self, caller: Hashable, future: "asyncio.Future[None]") -> None:
        """Start a waiting request; does nothing if it has started."""
        waiting = self._waiting.get(caller)
        if waiting is None or future not in waiting:
            return
        waiting.remove(future)
        if not waiting:
            del self._waiting[caller]
        self._active[caller] += 1
        if not future.done():
            future.set_result(None)

    def _remember(self, credential: int, scope: Scope) -> None:
        principal = scope.get(PRINCIPAL)
        if principal is None:
            return
        self._tenants.pop(credential, None)
        self._tenants[credential] = principal.tenant_id
        if len(self._tenants) > _KNOWN_CREDENTIALS:
            del self._tenants[next(iter(self._tenants))]


def _decrease(counter: Counter[Hashable], caller: Hashable) -> None:
    counter[caller] -= 1
    if not counter[caller]:
        del counter[caller]


def end_turn(scope: MutableMapping[str, Any]) -> None:
    """End a request's turn early: it now waits for inference, where tenants take turns of their own."""
    turn = scope.get(_TURN)
    if turn is not None:
        turn.turns.end(turn)
