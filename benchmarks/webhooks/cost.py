"""Measure the processor time of a registration of a tenant with a webhook and of one without, in turns."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.albums.stage import Tenant
from benchmarks.goals import at_most
from benchmarks.serving import drawn_photo
from benchmarks.webhooks.scene import Scene

ROUNDS, REGISTRATIONS = 12, 40
MAX_RATIO = 1.25


def measure(scene: Scene) -> dict[str, Any]:
    """Return milliseconds per registration: of the server and PostgreSQL, and of the worker beside them."""
    photos = [drawn_photo(seed, side=250) for seed in range(1, 21)]
    spent: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    with scene.stage.serving() as api, scene.working(1) as workers:
        tenants = {"without": scene.stage.new_tenant(api), "with": scene.stage.new_tenant(api)}
        scene.add_hook(api, tenants["with"], "/fast/cost")
        for tenant in tenants.values():
            _register(api, tenant, photos, "warm-up")
        for number in range(ROUNDS):
            for name in sorted(tenants, reverse=bool(number % 2)):
                before = _read(workers[0].pid, scene.stage.directory)
                _register(api, tenants[name], photos, f"round-{number}")
                after = _read(workers[0].pid, scene.stage.directory)
                spent[name].append({who: 1000 * (after[who] - before[who]) / REGISTRATIONS for who in after})
    medians = {
        name: {who: round(statistics.median(one[who] for one in rounds), 3) for who in rounds[0]}
        for name, rounds in spent.items()
    }
    totals = {name: one["server"] + one["postgres"] for name, one in medians.items()}
    ratio = round(totals["with"] / totals["without"], 3)
    return {
        "registrations": 2 * ROUNDS * REGISTRATIONS,
        "processor ms per registration": medians,
        "goals": [at_most("registration with a webhook against one without", MAX_RATIO, ratio, "ratio")],
    }


def _register(api: str, tenant: Tenant, photos: list[bytes], name: str) -> None:
    with httpx.Client(base_url=api, headers=tenant.headers, timeout=60) as client:
        for number in range(REGISTRATIONS):
            files = {"images": ("a.jpg", photos[number % len(photos)], "image/jpeg")}
            client.post("/register", data={"subject": f"{name}-{number}"}, files=files).raise_for_status()


def _read(worker: int, directory: Path) -> dict[str, float]:
    """Return processor seconds: of the server, PostgreSQL, and the worker with its database connections' share."""
    read = {"server": 0.0, "postgres": 0.0, "worker": 0.0}
    for process in _processes(directory):
        try:
            times = process.cpu_times()
            who = "worker" if process.pid == worker else "postgres" if "postgres" in process.name() else "server"
        except psutil.Error:
            continue
        if who != "server" or "serve" in " ".join(process.cmdline()):
            read[who] += times.user + times.system
    return read


def _processes(directory: Path) -> Iterator[psutil.Process]:
    known = psutil.Process().children(recursive=True)
    yield from known
    # The embedded server is a child of whoever started it, or of nobody. Its processes are in its directory.
    pids = {one.pid for one in known}
    for one in psutil.process_iter(["name", "cwd"]):
        is_ours = one.info["name"] == "postgres" and (one.info["cwd"] or "").startswith(str(directory))
        if is_ours and one.pid not in pids:
            yield one
