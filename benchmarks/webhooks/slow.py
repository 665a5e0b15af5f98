"""Measure how long events take from the change to their arrival, beside an endpoint that answers after 30 seconds."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx

from benchmarks.albums.stage import Tenant
from benchmarks.goals import at_most
from benchmarks.serving import percentile
from benchmarks.webhooks.receiver import Message, Receiver
from benchmarks.webhooks.scene import Scene, change_subject

OTHERS, SLOW_HOOKS = 6, 5
SECONDS, PAUSE_S = 60.0, 0.4
_ARRIVE_WITHIN_S = 30


def measure(scene: Scene) -> dict[str, Any]:
    """Return the p95 of other tenants, and of a fast endpoint of the tenant that has slow ones."""
    with scene.stage.serving() as api, scene.working(1):
        tenants = [scene.stage.new_tenant(api) for _ in range(OTHERS + 1)]
        slow, others = tenants[0], tenants[1:]
        for number in range(SLOW_HOOKS):
            scene.add_hook(api, slow, f"/slow/{number}")
        scene.add_hook(api, slow, "/fast/same")
        for number, one in enumerate(others):
            scene.add_hook(api, one, f"/fast/other-{number}")
        _wait_for_worker(api, others[0], scene.receiver)
        ends = threading.Event()
        with ThreadPoolExecutor(len(tenants)) as pool:
            sent = [pool.submit(_send, api, one, ends) for one in tenants]
            time.sleep(SECONDS)
            ends.set()
            expected = {"same": sent[0].result(), "other": sum(one.result() for one in sent[1:])}
        deadline = time.monotonic() + _ARRIVE_WITHIN_S
        while _is_missing(scene.receiver.read(), expected) and time.monotonic() < deadline:
            time.sleep(0.5)
        messages = scene.receiver.read()
    same, other = (_delays(messages, f"/fast/{kind}", expected[kind]) for kind in ("same", "other"))
    slow_attempts = sum(one.path.startswith("/slow/") for one in messages)
    return {
        "seconds": SECONDS,
        "slow endpoints of one tenant": SLOW_HOOKS,
        "other tenants": _describe(other),
        "fast endpoint of the same tenant": _describe(same),
        "answers of slow endpoints": slow_attempts,
        "goals": [
            at_most("p95 from the change to the arrival, other tenants", 2, percentile(other, 0.95), "s"),
            at_most("p95 from the change to the arrival, same tenant", 2, percentile(same, 0.95), "s"),
        ],
    }


def _send(api: str, tenant: Tenant, ends: threading.Event) -> int:
    """Change subjects until the end; return how many events that made."""
    made = 0
    with httpx.Client(base_url=api, headers=tenant.headers, timeout=60) as client:
        while not ends.wait(PAUSE_S):
            change_subject(client, f"subject-{made % 20}", made // 20)
            made += 1
    return made


def _wait_for_worker(api: str, tenant: Tenant, receiver: Receiver) -> None:
    with httpx.Client(base_url=api, headers=tenant.headers, timeout=60) as client:
        change_subject(client, "first", 0)
    while not any(one.path == "/fast/other-0" for one in receiver.read()):
        time.sleep(0.2)


def _is_missing(messages: list[Message], expected: dict[str, int]) -> bool:
    return any(len(_arrivals(messages, f"/fast/{kind}")) < count for kind, count in expected.items())


def _arrivals(messages: list[Message], path: str) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for one in messages:
        if one.path.startswith(path) and one.event["data"]["subject"] != "first":
            found.setdefault(one.headers["webhook-id"], one)
    return found


def _delays(messages: list[Message], path: str, expected: int) -> list[float]:
    arrivals = _arrivals(messages, path).values()
    delays = [one.at - datetime.fromisoformat(one.event["timestamp"]).timestamp() for one in arrivals]
    return delays + [float(_ARRIVE_WITHIN_S)] * (expected - len(delays))


def _describe(delays: list[float]) -> dict[str, Any]:
    shares = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {"events": len(delays), **{name: round(percentile(delays, one), 3) for name, one in shares.items()}}
