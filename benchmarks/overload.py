"""Measure one worker under more clients than it can serve: answers per second, refusals, and the health check.

    make bench-overload
    python -m benchmarks.overload [--out [FILE]]

Photos are drawn and the pack is the synthetic one. First 8 clients find the best rate; then 50 clients send photos and
retry at once after a refusal. The client process sends prepared bytes and has a lower priority than the server, since
both share the machine. Another process asks for `/healthz` every 20 ms. Phases alternate.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bare_client import prepare
from benchmarks.goals import at_least, at_most
from benchmarks.hostile.neighbors import Connection
from benchmarks.machine import describe_run
from benchmarks.photos import as_form
from benchmarks.serving import drawn_photo, percentile, serving, sign_up

RESULT = Path(__file__).parent / "results" / "overload.json"
FEW, MANY = 8, 50
ROUNDS, PHASE_S = 3, 6.0
_NICE = 5
_HEALTH_PAUSE_S = 0.02


@dataclass
class Phase:
    """Seconds of the answers by status, and of the health check's."""

    taken: dict[int, list[float]] = field(default_factory=dict)
    health: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    def add(self, other: "Phase") -> None:
        for status, values in other.taken.items():
            self.taken.setdefault(status, []).extend(values)
        self.health += other.health
        self.elapsed_s += other.elapsed_s

    def describe(self) -> dict[str, Any]:
        """Return answers per second and times in milliseconds."""
        return {
            "succeeded per second": round(len(self.taken.get(200, ())) / self.elapsed_s, 1),
            "refused per second": round(len(self.taken.get(503, ())) / self.elapsed_s, 1),
            "other statuses": sorted(set(self.taken) - {200, 503}),
            "succeeded, ms": _describe(self.taken.get(200, [])),
            "refused, ms": _describe(self.taken.get(503, [])),
            "/healthz, ms": _describe(self.health),
        }


def main() -> None:
    """Measure, print JSON and write it."""
    parser = argparse.ArgumentParser(description="Measure one worker under more clients than it can serve.")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    few, many = Phase(), Phase()
    with serving(workers=1) as (api, admin), ProcessPoolExecutor(1) as health:
        health.submit(_poll, api, 0.1).result()  # started with the priority of the server
        headers = sign_up(api, admin, {"recognize": "unlimited"})
        requests = [_recognize(api, headers, seed) for seed in range(1, 9)]
        os.nice(_NICE)
        _measure(api, requests, FEW, 3.0, health)
        for _ in range(ROUNDS):
            few.add(_measure(api, requests, FEW, PHASE_S, health))
            many.add(_measure(api, requests, MANY, PHASE_S, health))
    rows = {f"{FEW} clients": few.describe(), f"{MANY} clients that retry at once": many.describe()}
    goodput = round(len(many.taken.get(200, ())) * few.elapsed_s / many.elapsed_s / len(few.taken[200]), 2)
    overloaded = rows[f"{MANY} clients that retry at once"]
    result = {
        "what": "POST /recognize on one worker; the clients share the machine with it",
        **describe_run(),
        "served": rows,
        "goals": [
            at_least("goodput, share of the best", 0.85, goodput, "ratio"),
            at_most("p99 of a refusal", 20, overloaded["refused, ms"].get("p99", 0.0), "ms"),
            at_most("p99 of /healthz", 20, overloaded["/healthz, ms"].get("p99", 0.0), "ms"),
        ],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")
    sys.exit(not all(goal["held"] for goal in result["goals"]))


def _recognize(api: str, headers: dict[str, str], seed: int) -> bytes:
    form, body = as_form(drawn_photo(seed), {})
    return prepare("POST", f"{api}/recognize", headers | form, body)


def _measure(api: str, requests: list[bytes], clients: int, seconds: float, health: ProcessPoolExecutor) -> Phase:
    phase, polled = Phase(), health.submit(_poll, api, seconds)
    started = time.perf_counter()
    asyncio.run(_send_all(api, requests, clients, phase, time.monotonic() + seconds))
    phase.elapsed_s = time.perf_counter() - started
    phase.health = polled.result()
    return phase


async def _send_all(api: str, requests: list[bytes], clients: int, phase: Phase, end: float) -> None:
    await asyncio.gather(*(_send(api, requests, number, phase, end) for number in range(clients)))


async def _send(api: str, requests: list[bytes], number: int, phase: Phase, end: float) -> None:
    parts, writer = urlsplit(api), None
    while time.monotonic() < end:
        started = time.perf_counter()
        if writer is None:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        number += 1
        writer.write(requests[number % len(requests)])
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]))
        phase.taken.setdefault(int(head.split(b" ", 2)[1]), []).append(time.perf_counter() - started)
        if b"\r\nconnection: close" in head:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


def _poll(api: str, seconds: float) -> list[float]:
    """Ask for the health for so many seconds, on a connection of its own; returns the seconds of each answer."""
    taken, end = list[float](), time.monotonic() + seconds
    connection, base = Connection(api), api.removesuffix("/api/v1")
    request = prepare("GET", f"{base}/healthz", {})
    while time.monotonic() < end:
        started = time.perf_counter()
        assert connection.send(request) == 200
        taken.append(time.perf_counter() - started)
        time.sleep(_HEALTH_PAUSE_S)
    connection.close()
    return taken


def _describe(values: list[float]) -> dict[str, float]:
    return {f"p{share * 100:g}": round(1000 * percentile(values, share), 1) for share in (0.5, 0.99)} if values else {}


if __name__ == "__main__":
    main()
