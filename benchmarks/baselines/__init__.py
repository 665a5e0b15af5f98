"""Start the servers to compare with, each in its own process.

This module uses only the standard library, because those servers import it too.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
_START_S = 120


@contextmanager
def serving_reference(pack: Path, gallery: Path | None = None, *, workers: int = 1) -> Iterator[tuple[str, int]]:
    """Run the reference server during the block; yields its address and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "REFERENCE_PACK": str(pack.resolve()),
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONWARNINGS": "ignore::FutureWarning",
    }
    if gallery is not None:
        environment["REFERENCE_GALLERY"] = str(gallery.resolve())
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.baselines.reference_server:app",
        "--port",
        str(port),
        "--workers",
        str(workers),
        "--log-level",
        "warning",
        "--no-access-log",
    ]
    process = subprocess.Popen(command, env=environment, cwd=_REPOSITORY, start_new_session=True)
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(base, process)
        yield base, process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.wait()


def _wait(base: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"{base}/healthz", timeout=5):
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the reference server did not become ready")
        time.sleep(0.1)
