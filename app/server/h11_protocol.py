"""The HTTP connection, for uvicorn: headers must arrive in time, and a request that is none gets our error shape."""

import asyncio
import json
import os
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_DEFAULT_TIMEOUT_S = 10.0
_LINGER_S, _LINGER_IDLE_S = 30.0, 5.0
"""How long what a client still sends is taken after it was answered: in all, and without a byte. nginx's values."""


class TimedH11Protocol(H11Protocol):
    """uvicorn's h11 protocol with a limit on the time that a request's headers may take (slowloris).

    And with a lingering close: a client that is answered while it still sends (its body is too large, say, or the
    service is full) reads the answer before it meets a closed connection. Closed at once, the connection would be
    reset, which takes the answer away from some clients and ends others: Node's raises an error that nobody can catch.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _linger_until: float | None = None
    _linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        send_at_once(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a request under way ends the waiting, the rest of headers begins it anew."""
        if self._linger_until is not None:
            self._linger_on()
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            if self._header_timer is None and self.conn.trailing_data[0]:
                self._wait_for_headers()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._stop_waiting()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answered request whose body never ends would keep the connection for ever."""
        is_body_missing = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if is_body_missing and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._linger_until = self.loop.time() + _LINGER_S
            self.transport.write_eof()
            self._linger_on()

    def _linger_on(self) -> None:
        """What came is dropped; the next must come soon."""
        assert self._linger_until is not None
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        left_s = self._linger_until - self.loop.time()
        if left_s <= 0:
            self.transport.close()
        else:
            self._linger_timer = self.loop.call_later(min(left_s, _LINGER_IDLE_S), self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed has no request, so no request id; the shape is ours all the same."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer is under way already
            return
        problem = {
            "type": "urn:vultus:problem:malformed_http",
            "title": "This is not a valid HTTP request.",
            "status": 400,
            "detail": msg,
            "code": "malformed_http",
            "request_id": None,
        }
        body = json.dumps(problem).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events: list[Any] = [
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        for event in events:
            output = self.conn.send(event)
            if output:
                self.transport.write(output)
        self.transport.close()

    def _wait_for_headers(self) -> None:
        timeout_s = float(os.environ.get("VULTUS_HEADER_TIMEOUT_S", _DEFAULT_TIMEOUT_S))
        self._header_timer = self.loop.call_later(timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        self._header_timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def send_at_once(transport: asyncio.Transport) -> None:
    """Turn Nagle's algorithm off.

    uvicorn binds the socket of several workers itself, without naming the protocol; asyncio then leaves it on, and
    every answer of two writes waits 40 ms for the client's delayed acknowledgement.
    """
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
