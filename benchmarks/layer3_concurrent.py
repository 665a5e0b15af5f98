"""Layer 3: measure throughput, latency and memory with many concurrent clients, and the behavior under overload.

    make bench-concurrent          the whole matrix (20 minutes)
    make bench-concurrent-quick    a small part of it (under 5 minutes)
    python -m benchmarks.layer3_concurrent [--quick] [--photos DIR --pack DIR] [--seconds N] [--out [FILE]]

Locust sends `POST /recognize` for a collection of 10,000 people, on the machine of the server, so clients use part of
its cores. Vultus and the reference server alternate, cell by cell. Every client sends its next request as soon as it
has a response, also after a refusal (the worst case), unless the cell obeys `Retry-After`. Only responses within the
measured seconds of a cell count, after a warm-up.

"Bare networks" run the same pack in a loop on all cores, with decoding, but without HTTP and search. Memory is the
proportional set size (shared pages count once) of all processes of a server under load.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import asyncpg
import psutil

from app.ml.synthetic.pack import write_synthetic_pack
from benchmarks.layer2_sequential import (
    PEOPLE,
    Target,
    add_data_arguments,
    both_servers,
    check_data_arguments,
    exit_on_sigterm,
    note,
    settle,
)
from benchmarks.machine import describe_run
from benchmarks.photos import make_photos
from benchmarks.serving import percentile

RESULT = Path(__file__).parent / "results" / "layer3_concurrent.json"
USERS = Path(__file__).with_name("layer3_users.py")
WARM_S, SLACK_S = 2, 1
BARE_S = 6
KINDS_CLIENTS = 8
POLLS_A_SECOND = 10


@dataclass(frozen=True)
class Plan:
    """The cells to measure, and the seconds for each."""

    clients: tuple[int, ...] = (1, 4, 8, 16, 50)
    workers: tuple[int, ...] = (1, 2, 4)
    kinds: tuple[str, ...] = ("group", "large_1", "large_12")
    overload_clients: tuple[int, ...] = (50, 150)
    overload_workers: tuple[int, ...] = (1, 2)
    obeying: tuple[bool, ...] = (False, True)
    """Whether the clients of an overload obey `Retry-After`."""
    seconds: int = 15


QUICK = Plan(
    clients=(1, 8),
    workers=(1, 2),
    kinds=("group",),
    overload_clients=(50,),
    overload_workers=(1,),
    obeying=(False,),
    seconds=6,
)


@dataclass(frozen=True)
class Cell:
    """A number of clients that send one kind of photo to one server."""

    target: Target
    workers: int
    clients: int
    kind: str = "lfw"
    obeys_retry_after: bool = False
    is_polled: bool = False
    """Whether `/healthz` is polled meanwhile."""


class Layer3:
    """Runs all measurements with one pack and the photos in a directory."""

    def __init__(self, plan: Plan, pack: Path, lfw: Path | None, directory: Path) -> None:
        self.plan, self.pack, self.directory = plan, pack, directory
        self.cells: list[dict[str, Any]] = []
        self.overload: list[dict[str, Any]] = []
        self.bare: dict[str, list[float]] = {}
        for kind in ("lfw", *plan.kinds):
            folder = directory / kind
            folder.mkdir()
            for index, photo in enumerate(make_photos(kind, lfw)):
                (folder / f"{index:03d}.jpg").write_bytes(photo)

    def measure(self) -> None:
        """Measure the matrix, overload, and the other kinds of photos."""
        for workers in self.plan.workers:
            with both_servers(self.pack, self.directory, workers=workers) as targets:
                self._settle(targets, "lfw")
                for clients in self.plan.clients:
                    self.cells += [self.run(Cell(target, workers, clients)) for target in targets]
                if workers in self.plan.overload_workers:
                    self.overload += [
                        self.run(Cell(targets[0], workers, clients, obeys_retry_after=obeys, is_polled=True))
                        for clients in self.plan.overload_clients
                        for obeys in self.plan.obeying
                    ]
        best = {name: self.best_workers(name) for name in ("vultus", "reference")}
        with both_servers(
            self.pack, self.directory, workers=best["vultus"], reference_workers=best["reference"]
        ) as targets:
            for kind in self.plan.kinds:
                self._settle(targets, kind)
                self.cells += [
                    self.run(Cell(target, best[target.name], KINDS_CLIENTS, kind=kind)) for target in targets
                ]

    def best_workers(self, name: str) -> int:
        """Return the number of workers with the highest throughput for eight clients."""
        rows = [row for row in self.cells if row["server"] == name and row["clients"] == KINDS_CLIENTS]
        workers: int = max(rows, key=lambda row: float(row["per_s"]))["workers"]
        return workers

    def run(self, cell: Cell) -> dict[str, Any]:
        """Measure one cell; always ends its processes."""
        out = self.directory / "samples.json"
        out.unlink(missing_ok=True)
        lasts_s = WARM_S + self.plan.seconds + SLACK_S
        row: dict[str, Any] = {
            "server": cell.target.name,
            "kind": cell.kind,
            "workers": cell.workers,
            "clients": cell.clients,
        }
        poll: Future[list[float]] | None = None
        with _spawned_process() as pool:
            locust = self._start_locust(cell, out, lasts_s)
            try:
                if cell.is_polled:
                    row["obeys_retry_after"] = cell.obeys_retry_after
                    poll = pool.submit(poll_health, cell.target.base, WARM_S, self.plan.seconds)
                time.sleep(WARM_S + 0.7 * self.plan.seconds)
                row |= measure_memory(cell.target)
                locust.wait(timeout=lasts_s + 150)
            finally:
                locust.kill()
                locust.wait()
            if not out.exists():
                log = self.directory / "locust.log"
                raise SystemExit(f"Locust measured nothing: {log.read_text()[-2000:] if log.exists() else ''}")
            row |= summarize(json.loads(out.read_text()), self.plan.seconds)
            if poll is not None:
                polled = poll.result()
                row |= {"healthz_p50_ms": _share_ms(polled, 0.5), "healthz_p99_ms": _share_ms(polled, 0.99)}
        print_row(row)
        return row

    def _start_locust(self, cell: Cell, out: Path, lasts_s: int) -> "subprocess.Popen[bytes]":
        order = self.directory / "cell.json"
        described = {
            "path": cell.target.path,
            "headers": cell.target.headers,
            "fields": cell.target.fields,
            "photos": str(self.directory / cell.kind),
            "obeys_retry_after": cell.obeys_retry_after,
            "out": str(out),
        }
        order.write_text(json.dumps(described))
        options = {
            "-f": USERS,
            "--host": cell.target.base,
            "-u": cell.clients,
            "-r": cell.clients,
            "-t": f"{lasts_s}s",
            "--exit-code-on-error": 0,
            "--logfile": self.directory / "locust.log",
        }
        command = [sys.executable, "-m", "locust", "--headless", "--only-summary"]
        command += [str(part) for option in options.items() for part in option]
        environment = {**os.environ, "BENCH_CELL": str(order), "PYTHONPATH": str(USERS.parents[1])}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def compare(self) -> dict[str, Any]:
        """Compare the cells with each other and with the bare networks."""
        bare = {kind: round(percentile(values, 0.5), 2) for kind, values in self.bare.items()}
        vultus = [row for row in self.cells if row["server"] == "vultus"]
        best = {kind: max(row["per_s"] for row in vultus if row["kind"] == kind) for kind in bare}
        reference = {
            kind: max(row["per_s"] for row in self.cells if row["server"] == "reference" and row["kind"] == kind)
            for kind in bare
        }
        for row in self.overload:
            similar = [cell["per_s"] for cell in vultus if (cell["kind"], cell["workers"]) == ("lfw", row["workers"])]
            row["goodput_of_best"] = round(row["per_s"] / best["lfw"], 3)
            row["goodput_of_best_with_same_workers"] = round(row["per_s"] / max(similar), 3)
        return {
            "bare_networks_per_s": bare,
            "best_per_s": {"vultus": best, "reference": reference},
            "vultus_of_bare": {kind: round(best[kind] / bare[kind], 3) for kind in bare},
            "vultus_of_reference": {kind: round(best[kind] / reference[kind], 2) for kind in bare if reference[kind]},
        }

    def _settle(self, targets: tuple[Target, ...], kind: str) -> None:
        """Wait until the servers are idle, then measure the bare networks."""
        for target in targets:
            settle(target)
        with _spawned_process() as pool:
            arguments = (self.pack, self.directory / kind, self.directory / "bare", min(BARE_S, self.plan.seconds))
            self.bare.setdefault(kind, []).append(pool.submit(measure_bare, *arguments).result())
        note(f"bare networks, {kind}: {self.bare[kind][-1]:.1f}/s")


def measure_bare(pack: Path, photos: Path, data: Path, seconds: int) -> float:
    """Measure photos per second of the networks alone, on all cores."""
    from app.ml.analysis import Embed
    from app.settings import Settings
    from app.wiring.analyzer import build_analyzer

    cores = os.cpu_count() or 1
    settings = Settings.model_validate({"model_pack": str(pack), "data_dir": str(data), "inference_threads": cores})
    analyzer = build_analyzer(settings)
    images = [file.read_bytes() for file in sorted(photos.glob("*.jpg"))]
    begin = time.monotonic() + WARM_S
    end = begin + seconds

    def work(first: int) -> int:
        index, done = first, 0
        while True:
            analyzer.analyze(images[index % len(images)], Embed.ALL)
            index += cores
            now = time.monotonic()
            if now > end:
                return done
            done += now >= begin

    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(work, range(cores))) / seconds


def poll_health(base: str, wait_s: int, seconds: int) -> list[float]:
    """Poll `/healthz` ten times per second on new connections; returns seconds per poll, 10 for a failure."""
    host = urlsplit(base).netloc
    time.sleep(wait_s)
    durations: list[float] = []
    for turn in range(seconds * POLLS_A_SECOND):
        if turn == 0:
            first_poll = time.monotonic()
        time.sleep(max(0.0, first_poll + turn / POLLS_A_SECOND - time.monotonic()))
        started = time.perf_counter()
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            connection.request("GET", "/healthz")
            is_healthy = connection.getresponse().status == 200
        except OSError:
            is_healthy = False
        finally:
            connection.close()
        durations.append(time.perf_counter() - started if is_healthy else 10.0)
        if time.monotonic() > first_poll + seconds:
            break
    return durations


def summarize(measured: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Return throughput, latency and counts of the responses within the measured window."""
    begin = measured["started"] + WARM_S
    end = min(begin + seconds, measured["stopped"])
    responses: dict[int, list[float]] = {}
    for sent_at, took, status in measured["samples"]:
        if begin <= sent_at + took < end:
            responses.setdefault(status, []).append(took)
    good, refused = responses.pop(200, []), responses.pop(503, [])
    return {
        "per_s": round(len(good) / (end - begin), 2),
        **{f"p{share}_ms": _share_ms(good, share / 100) for share in (50, 95, 99)},
        "answered_200": len(good),
        "answered_503": len(refused),
        "p99_of_503_ms": _share_ms(refused, 0.99),
        "other_errors": {str(status): len(times) for status, times in responses.items()},
        "client_cores": round(measured["client_cores"], 2),
    }


def measure_memory(target: Target) -> dict[str, float | None]:
    """Return the megabytes of the server's processes, and of its PostgreSQL."""
    memory = {"memory_mb": _pss_mb(target.pid)}
    if target.database is not None:
        memory["postgres_mb"] = _pss_mb(asyncio.run(_find_postgres(target.database)))
    return memory


def print_row(row: dict[str, Any]) -> None:
    """Print the figures of one cell."""
    times = " / ".join("-" if row[f"p{share}_ms"] is None else f"{row[f'p{share}_ms']:.0f}" for share in (50, 95, 99))
    refused = f", {row['answered_503']} refused (p99 {row['p99_of_503_ms']} ms)" if row["answered_503"] else ""
    errors = f", errors {row['other_errors']}" if row["other_errors"] else ""
    healthz = f", healthz p99 {row['healthz_p99_ms']} ms" if "healthz_p99_ms" in row else ""
    retry = ", obeying Retry-After" if row.get("obeys_retry_after") else ""
    print(
        f"{row['server']:9} {row['kind']:8} {row['workers']} workers {row['clients']:3} clients: "
        f"{row['per_s']:7.1f}/s, {times} ms, {row['memory_mb']} MB{refused}{errors}{healthz}{retry}",
        flush=True,
    )


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description="Load the service with many concurrent clients.")
    add_data_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="a small part, in under 5 minutes")
    parser.add_argument("--seconds", type=int, help="seconds per cell; 15 by default, 6 with --quick")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    check_data_arguments(parser, arguments)
    exit_on_sigterm()
    plan = QUICK if arguments.quick else Plan()
    if arguments.seconds:
        plan = replace(plan, seconds=arguments.seconds)
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as name:
        pack = (arguments.pack or write_synthetic_pack(Path(name))).resolve()
        layer = Layer3(plan, pack, arguments.photos, Path(name))
        layer.measure()
    compared = layer.compare()
    result = {
        "what": "POST /recognize; responses with status 200 per second, milliseconds on the clients' clock, PSS in MB",
        **describe_run(),
        "pack": pack.name,
        "photos": "LFW" if arguments.photos else "drawn",
        "people": PEOPLE,
        "seconds_per_cell": plan.seconds,
        **compared,
        "cells": layer.cells,
        "overload": layer.overload,
    }
    print(json.dumps(compared, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def _spawned_process() -> ProcessPoolExecutor:
    """Return a pool of one new process, whose memory is released afterwards."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _share_ms(values: list[float], share: float) -> float | None:
    return round(percentile(values, share) * 1000, 2) if values else None


async def _find_postgres(database: str) -> int:
    """Return the id of the postmaster, the parent of the process of each connection."""
    connection = await asyncpg.connect(database)
    try:
        return psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).ppid()
    finally:
        await connection.close()


def _pss_mb(pid: int) -> float | None:
    """Return the proportional set size of a process and its descendants; None except on Linux."""
    root = psutil.Process(pid)
    found: list[int] = []
    for process in [root, *root.children(recursive=True)]:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        found += [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
    return round(sum(found) / 1024, 1) if found else None


if __name__ == "__main__":
    main()
