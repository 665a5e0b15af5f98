"""Close connections without losing the answer of a client that still sends."""

import asyncio
from collections.abc import Callable
from typing import Any

_LINGER_S, _LINGER_IDLE_S = 30.0, 5.0
"""How long data is discarded after an early response: in total, and without receiving a byte. nginx's defaults."""
_PAUSE_S = 0.005
"""Between two reads of discarded data, at most 256 KiB each: reading it at full speed would keep a core busy."""


class LingeringTransport:
    """A transport that stops writing at once when it is closed, but discards what the client still sends for a while.

    A socket that is closed with unread data resets the connection: some clients then lose the response, and Node.js
    raises an error that applications cannot catch.
    """

    def __init__(self, transport: asyncio.Transport, may_be_sending: Callable[[], bool]) -> None:
        """Take `may_be_sending`, which tells whether the client may not have sent all of its data."""
        self._transport = transport
        self._may_be_sending = may_be_sending
        self._loop = asyncio.get_running_loop()
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def is_lingering(self) -> bool:
        return self._until is not None

    def is_closing(self) -> bool:
        return self.is_lingering or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send data; after the close it is dropped, as other transports do."""
        if not self.is_lingering:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection, now or as soon as the client has sent everything or has read the answer."""
        if self.is_closing():
            return
        if not self._may_be_sending() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._until = self._loop.time() + _LINGER_S
        self._transport.write_eof()
        self.discard()

    def discard(self) -> None:
        """Restart the idle timer of the lingering close, because data was received."""
        assert self._until is not None
        self.stop_timer()
        left_s = self._until - self._loop.time()
        if left_s <= 0:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(min(left_s, _LINGER_IDLE_S), self._transport.close)
            self._transport.pause_reading()
            self._pause = self._loop.call_later(_PAUSE_S, self._transport.resume_reading)

    def close_now(self) -> None:
        """Close the connection even if the client still sends."""
        self.stop_timer()
        self._transport.close()

    def stop_timer(self) -> None:
        for timer in (self._timer, self._pause):
            if timer is not None:
                timer.cancel()
        self._timer = self._pause = None
