"""A relay of TCP connections between a client and a real server, which can cut them all."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx


@dataclass
class Relay:
    url: str
    sockets: list[socket.socket] = field(default_factory=list)

    def cut(self) -> None:
        """End every open connection."""
        while self.sockets:
            with contextlib.suppress(OSError):
                self.sockets.pop().shutdown(socket.SHUT_RDWR)


@contextmanager
def relaying(base: str) -> Iterator[Relay]:
    """Relay a free port of this machine to a server, for the time of the block."""
    target = httpx.URL(base)
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def join(client: socket.socket, server: socket.socket) -> None:
        with client, server:
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((target.host, target.port or 80))
                relay.sockets += [client, server]
                threading.Thread(target=join, args=(client, server), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield relay
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        relay.cut()
