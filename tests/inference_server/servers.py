"""Inference servers as processes, and clients of them."""

import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.settings import Settings
from tests.commands import PROGRAM
from tests.servers import free_port

TOKEN = "a token of tests only, 32 bytes or more"


def settings_of_server(settings: Settings) -> dict[str, str]:
    """The environment in which a server has the networks and the limits of these settings."""
    names = ("data_dir", "model_pack", "max_image_bytes", "max_image_pixels", "max_request_bytes", "log_level")
    return {f"VULTUS_{name.upper()}": str(getattr(settings, name)) for name in names}


@contextmanager
def serving_inference(
    env: dict[str, str], *, port: int | None = None, tls: ssl.SSLContext | None = None, log: Path | None = None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`vultus inference`, ready, for the time of the block: its address and its process."""
    port = port or free_port()
    command = [str(PROGRAM), "inference", "--port", str(port)]
    stderr = log.open("wb") if log is not None else None
    process = subprocess.Popen(command, env={**os.environ, **env}, stderr=stderr)
    base = f"http{'s' if tls is not None else ''}://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180
        while not _is_ready(base, tls):
            assert process.poll() is None, "the inference server ended"
            assert time.monotonic() < deadline, "the inference server did not become ready"
            time.sleep(0.1)
        yield base, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)
        if stderr is not None:
            stderr.close()


def _is_ready(base: str, tls: ssl.SSLContext | None) -> bool:
    try:
        return httpx.get(f"{base}/readyz", verify=tls if tls is not None else True).status_code == 200
    except httpx.TransportError:
        return False
