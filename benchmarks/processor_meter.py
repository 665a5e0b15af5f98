"""Measure the processor time that a server and its database spend on requests, by who spends it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from benchmarks.bare_client import Answers, send_all
from benchmarks.layer2_sequential import Target
from benchmarks.processor_time import list_descendants, read_process_s, read_thread_s

CLIENTS = 8


@dataclass
class Spent:
    """Processor milliseconds per answer that succeeded, by who spent them, and answers per second."""

    loop: float
    inference: float
    postgres: float
    client: float
    per_s: float
    cores_busy: float
    """Of the machine's cores: all processor time over the elapsed time."""

    def describe(self) -> dict[str, float]:
        total = self.loop + self.inference + self.postgres + self.client
        return {name: round(value, 3) for name, value in (*vars(self).items(), ("total", total))}


class Meter:
    """Measures what a server and its database spend on a list of requests."""

    def __init__(self, target: Target) -> None:
        self._address = urlsplit(target.base)
        self._server = target.pid
        self._database = target.database

    def measure(self, requests: Sequence[bytes], *, settle_s: float = 0) -> tuple[Spent, Answers]:
        """Send the requests; raises `SystemExit` if any failed.

        What the server does in `settle_s` seconds after the last answer counts too.
        """
        postgres = _list_postgres(self._database) if self._database else []
        before = self._read(postgres)
        address = (str(self._address.hostname), int(self._address.port or 80))
        answers = asyncio.run(send_all(address, requests, clients=CLIENTS))
        time.sleep(settle_s)
        after = self._read(postgres)
        if answers.succeeded != len(requests):
            raise SystemExit(f"answers by status: {answers.statuses}")
        loop, others, database, client = (
            1000 * (end - start) / answers.succeeded for start, end in zip(before, after, strict=True)
        )
        busy = (loop + others + database + client) / 1000 * answers.succeeded / answers.elapsed_s
        return Spent(loop, others, database, client, answers.succeeded / answers.elapsed_s, busy), answers

    def _read(self, postgres: Sequence[int]) -> tuple[float, float, float, float]:
        loop, everything = read_thread_s(self._server, self._server), read_process_s(self._server)
        return loop, everything - loop, sum(map(read_process_s, postgres)), time.process_time()


async def _find_data_directory(database: str) -> str:
    connection = await asyncpg.connect(database)
    directory: str = await connection.fetchval("SHOW data_directory")
    await connection.close()
    return directory


def _list_postgres(database: str) -> list[int]:
    """Return the ids of all processes of the server of a database."""
    directory = asyncio.run(_find_data_directory(database))
    postmaster = int(Path(directory, "postmaster.pid").read_text().split()[0])
    return [postmaster, *(process.pid for process in list_descendants(postmaster))]
