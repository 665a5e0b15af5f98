"""What the parts share: a database, servers, workers, and tenants with webhooks."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.albums.stage import Inputs, Stage, Tenant
from benchmarks.webhooks.receiver import Receiver


@dataclass(frozen=True)
class Hook:
    """A webhook of a tenant."""

    path: str
    secret: str


class Scene:
    """One database and data directory, and a receiver that servers and workers may call."""

    def __init__(self, directory: Path, receiver: Receiver) -> None:
        self.stage = Stage(directory, Inputs(None, None))
        self.stage.env["VULTUS_WEBHOOK_INTERNAL_HOSTS"] = receiver.origin
        self.receiver = receiver

    def add_hook(self, api: str, tenant: Tenant, path: str) -> Hook:
        body = {"url": self.receiver.origin + path}
        created = httpx.post(f"{api}/webhooks", headers=tenant.headers, json=body).raise_for_status().json()
        return Hook(path, created["secret"])

    def start_worker(self) -> "subprocess.Popen[bytes]":
        command = [str(Path(sys.executable).parent / "vultus"), "worker", "--nice", "0"]
        return subprocess.Popen(command, env={**os.environ, **self.stage.env}, stderr=subprocess.DEVNULL)

    @contextmanager
    def working(self, count: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
        """Run workers during the block; processes that the block puts into the list are ended, too."""
        workers = [self.start_worker() for _ in range(count)]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.wait(timeout=60)


def change_subject(client: httpx.Client, subject: str, number: int) -> None:
    """Make the change with this number of a subject: the first creates it, the others rename it."""
    base = "/collections/default/subjects"
    if number == 0:
        client.post(base, json={"subject": subject}).raise_for_status()
    else:
        client.patch(f"{base}/{subject}", json={"name": f"name {number}"}).raise_for_status()
