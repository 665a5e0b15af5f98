"""What the tests of album commands share: a server, a key, workers as processes, folders of photos."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests import pictures
from tests.cli.test_serve import sign_up

SCOPES = ["register", "recognize", "delete"]
DAMAGED = b"\xff\xd8\xff\xe0 this is no photo"


def make_key(base: str, scopes: list[str] = SCOPES) -> str:
    """A new tenant's API key."""
    _, headers = sign_up(f"{base}/api/v1")
    made = httpx.post(f"{base}/api/v1/keys", headers=headers, json={"name": "albums", "scopes": scopes})
    key: str = made.raise_for_status().json()["key"]
    return key


@contextmanager
def working(*options: str, **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`vultus worker` as a process, for the time of the block."""
    command = [str(Path(sys.executable).parent / "vultus"), "worker", *options]
    process = subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        assert process.stderr is not None
        process.stderr.close()


def write_photos(folder: Path, count: int) -> Path:
    """Photos of two people each, in two folders; the first two show person 1."""
    for number in range(count):
        photo = folder / ("b" if number % 2 else "a") / f"{number}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(pictures.group(1 if number < 2 else 20 + number, 50 + number))
    return folder


def counts_of(base: str, key: str, album: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"}
    found = httpx.get(f"{base}/api/v1/albums/{album}", headers=headers, timeout=30).raise_for_status()
    counts: dict[str, Any] = found.json()["photos"]
    return counts


def wait_for(is_true: Any, *, why: str, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
