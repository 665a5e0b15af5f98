"""Receive webhooks in a process of its own, and note every message.

    python -m benchmarks.webhooks.receiver NOTES

Prints its port, then serves until it is ended. The path decides the answer: `/half/...` fails every second time,
`/slow/...` answers after 30 s, all others at once. Each message becomes a line of JSON in NOTES before it is answered.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

SLOW_S = 30.0
_TOLERANCE_S = 300
"""The library accepts messages that are not older; they are examined when all have arrived."""
_SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True)
class Message:
    """A message that arrived, in the order of the answers."""

    path: str
    headers: dict[str, str]
    body: str
    status: int
    at: float
    """When it arrived, in seconds since 1970."""

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    def is_signed_by(self, secret: str) -> bool:
        """Return whether the library of Standard Webhooks signs the message so, at the time of its arrival."""
        timestamp = int(self.headers["webhook-timestamp"])
        expected = Webhook(secret).sign(self.headers["webhook-id"], datetime.fromtimestamp(timestamp, UTC), self.body)
        return expected in self.headers["webhook-signature"].split() and abs(self.at - timestamp) < _TOLERANCE_S


class Receiver:
    """A running receiver."""

    def __init__(self, origin: str, notes: Path) -> None:
        self.origin = origin
        self._notes = notes

    def read(self) -> list[Message]:
        """Return all messages until now."""
        lines = self._notes.read_text().splitlines(keepends=True)
        return [Message(**json.loads(line)) for line in lines if line.endswith("\n")]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver during the block."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as notes:
        command = [sys.executable, "-m", "benchmarks.webhooks.receiver", notes.name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield Receiver(f"http://127.0.0.1:{port}", Path(notes.name))
        finally:
            process.kill()
            process.wait()


def main() -> None:
    notes = Path(sys.argv[1]).open("a", buffering=1)  # noqa: SIM115 - for as long as the process lives
    lock, received = threading.Lock(), itertools.count()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at = time.time()
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            if self.path.startswith("/slow/"):
                time.sleep(SLOW_S)
            with lock:
                status = 500 if self.path.startswith("/half/") and next(received) % 2 == 0 else 200
                headers = {name: self.headers.get(name, "") for name in _SIGNED}
                noted = {"path": self.path, "headers": headers, "body": body, "status": status, "at": at}
                notes.write(json.dumps(noted) + "\n")
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the worker was killed, or waits no longer
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024

    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
