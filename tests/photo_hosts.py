"""A web server with photos, and everything else that a server may do instead of sending one."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests import pictures

PHOTO, GROUP, LANDSCAPE = pictures.photo(1), pictures.group(1, 2), pictures.landscape()
LARGE = 3 * 1024 * 1024
"""Bytes of the large files, above the tests' limit for an image."""


class PhotoHost(http.server.ThreadingHTTPServer):
    """Records the path of every request."""

    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.requested = list[str]()
        self.hosts = list[str]()
        self.stopping = threading.Event()
        super().__init__((address, port), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Stay silent: clients hang up on purpose."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: PhotoHost

    def do_GET(self) -> None:
        self.server.requested.append(self.path)
        self.server.hosts.append(self.headers["host"])
        name = self.path.partition("?")[0].strip("/").removesuffix(".jpg")
        getattr(self, f"send_{name}", self.send_missing)()

    def send_photo(self) -> None:
        self._send(PHOTO)

    def send_group(self) -> None:
        self._send(GROUP)

    def send_landscape(self) -> None:
        self._send(LANDSCAPE)

    def send_page(self) -> None:
        self._send(b"<html>a page with a secret</html>")

    def send_empty(self) -> None:
        self._send(b"")

    def send_large(self) -> None:
        self._send(bytes(LARGE))

    def send_endless(self) -> None:
        """Sends more than allowed without saying how much."""
        self.send_response(200)
        self.end_headers()
        for _ in range(LARGE // 4096):
            self.wfile.write(bytes(4096))

    def send_slow(self) -> None:
        """Sends a byte now and then, so that no single read takes long."""
        self.send_response(200)
        self.send_header("content-length", str(len(PHOTO)))
        self.end_headers()
        for byte in PHOTO:
            if self.server.stopping.wait(0.05):
                return
            self.wfile.write(bytes([byte]))

    def send_silent(self) -> None:
        self.server.stopping.wait(30)

    def send_redirect(self) -> None:
        self.send_response(302)
        self.send_header("location", "/photo.jpg?signature=s3cret")
        self.end_headers()

    def send_short(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(PHOTO)))
        self.end_headers()
        self.wfile.write(PHOTO[:500])

    def send_garbage(self) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")

    def send_missing(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"no such secret")

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving_photos(
    address: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
) -> Iterator[PhotoHost]:
    """Serve photos for the time of the block."""
    with PhotoHost(address, port) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()
