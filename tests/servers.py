"""Servers that a test starts as processes on ports of their own: Vultus itself, and others beside it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

_START_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(workers: int = 1, /, **env: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`vultus serve` with these settings, ready, for the time of the block: its address and its process.

    It processes no albums unless a setting says so: photos of other tests' albums are theirs.
    """
    port = free_port()
    command = [str(Path(sys.executable).parent / "vultus"), "serve", "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(command, env={**os.environ, "VULTUS_ALBUM_WORKER": "false", **env})
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                if httpx.get(f"{base}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not become ready"
            time.sleep(0.1)
        yield base, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


@contextmanager
def listening(command: Sequence[str], port: int, *, user: str | None = None) -> Iterator[None]:
    """The command as a process that accepts connections on the port, for the time of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, user=user)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)
