"""Extend uvicorn's HTTP/1.1 protocol with a header timeout, a lingering close and problem+json for malformed HTTP."""

import asyncio
import json
import os
import socket
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.errors import MalformedHttp, problem_type
from app.server.lingering_transport import LingeringTransport

_DEFAULT_TIMEOUT_S = 10.0
_IDLE_GRACE_S = 1.0


class _StrictConnection(h11.Connection):
    """Refuses requests whose body has two lengths, which other servers on the way may read differently.

    RFC 9112 allows to prefer Transfer-Encoding over Content-Length, but what one server takes for the rest of the body
    is a request of its own for another (request smuggling).
    """

    refusal: str | None = None
    """Why the last request was refused, if h11 itself would have accepted it."""

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
                other = "Content-Length" if b"content-length" in names else "HTTP/1.0"
                self.refusal = f"Transfer-Encoding cannot be combined with {other}; send one length of the body."
                raise h11.RemoteProtocolError(self.refusal)
        return event


class TimedH11Protocol(H11Protocol):
    """uvicorn's h11 protocol with a time limit for a request's headers, against slowloris attacks.

    It also closes connections with a delay if the response is sent before the request body is complete, for example
    because the body is too large or malformed, or the service is overloaded.
    """

    conn: _StrictConnection
    _header_timer: asyncio.TimerHandle | None = None
    _lingering: LingeringTransport
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.conn = _StrictConnection(h11.SERVER)
        self._lingering = LingeringTransport(transport, self._may_be_sending)
        super().connection_made(cast(asyncio.Transport, self._lingering))
        disable_nagle(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; stop the header timer when headers are complete, restart it for further partial headers."""
        if self._lingering.is_lingering:
            self._lingering.discard()
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            if self._header_timer is None and self.conn.trailing_data[0]:
                self._wait_for_headers()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._lingering.stop_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Close the connection if the request body is incomplete, since it may never be completed."""
        is_body_missing = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if is_body_missing and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.transport.close()

    def shutdown(self) -> None:
        """Close the connection when it is idle, but not at once, since a request may be on its way.

        Responses close it themselves: while the server drains, each carries `connection: close`.
        """
        if self._lingering.is_lingering:
            self._lingering.close_now()
        else:
            self.loop.call_later(_IDLE_GRACE_S, self._close_when_idle)

    def _close_when_idle(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.loop.call_later(_IDLE_GRACE_S, self._close_when_idle)

    def send_400_response(self, msg: str) -> None:
        """Respond to malformed HTTP with problem+json, without a request id since no request could be parsed."""
        self._is_refused = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send_problem(self.conn.refusal or msg)
        if self.cycle is not None and not self.cycle.response_complete:
            # The request in progress has been answered, or is cut off within its response.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _send_problem(self, detail: str) -> None:
        error = MalformedHttp(detail)
        problem = {
            "type": problem_type(error.code),
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
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

    def _may_be_sending(self) -> bool:
        return self._is_refused or self.conn.their_state is h11.SEND_BODY or bool(self.conn.trailing_data[0])

    def _wait_for_headers(self) -> None:
        timeout_s = float(os.environ.get("VULTUS_HEADER_TIMEOUT_S", _DEFAULT_TIMEOUT_S))
        self._header_timer = self.loop.call_later(timeout_s, self._close_idle)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _close_idle(self) -> None:
        self._header_timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._lingering.close_now()


def disable_nagle(transport: asyncio.Transport) -> None:
    """Disable Nagle's algorithm, which asyncio leaves on for the socket that uvicorn shares between workers.

    uvicorn creates that socket without naming the protocol, and asyncio only recognizes TCP by it. With Nagle's
    algorithm, a response of two writes waits 40 ms for the client's delayed acknowledgment.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
