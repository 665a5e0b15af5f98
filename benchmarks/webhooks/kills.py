"""Send 1,000 events to a receiver that fails half the time, and kill both workers again and again."""

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from benchmarks.albums.stage import Tenant
from benchmarks.goals import at_least, at_most
from benchmarks.webhooks.receiver import Message
from benchmarks.webhooks.scene import Hook, Scene, change_subject

SUBJECTS, CHANGES = 125, 8
OTHER_SUBJECTS = 20
KILLS, LIFE_S = 6, (4.0, 9.0)
_GIVE_UP_S = 900


def prove(scene: Scene) -> dict[str, Any]:
    """Return what arrived, and the goals. Two tenants send; each has one webhook."""
    rng = random.Random(0)
    with scene.stage.serving() as api, scene.working(2) as workers:
        tenant, other = (scene.stage.new_tenant(api) for _ in range(2))
        hooks = {"one": scene.add_hook(api, tenant, "/half/one"), "two": scene.add_hook(api, other, "/half/two")}
        with ThreadPoolExecutor(2) as pool:
            sending = [pool.submit(_send, api, tenant, "one", SUBJECTS), pool.submit(_send, api, other, "two", 20)]
            began_at, kills = time.monotonic(), 0
            while not _has_everything(scene.receiver.read()):
                if time.monotonic() - began_at > _GIVE_UP_S:
                    break
                if kills < KILLS:
                    time.sleep(rng.uniform(*LIFE_S))
                    victim = workers.pop(rng.randrange(len(workers)))
                    os.kill(victim.pid, signal.SIGKILL)
                    victim.wait()
                    workers.append(scene.start_worker())
                    kills += 1
                time.sleep(1)
            for one in sending:
                one.result()
        seconds = time.monotonic() - began_at
        messages = scene.receiver.read()
    return _judge(messages, hooks, kills, seconds)


def _send(api: str, tenant: Tenant, prefix: str, subjects: int) -> None:
    names = [f"{prefix}-{number}" for number in range(subjects)]
    with httpx.Client(base_url=api, headers=tenant.headers, timeout=60) as client:
        for number in range(CHANGES):
            for name in names:
                change_subject(client, name, number)


def _has_everything(messages: list[Message]) -> bool:
    return len({one.headers["webhook-id"] for one in messages if one.status == 200}) >= _count_sent()


def _count_sent() -> int:
    return (SUBJECTS + OTHER_SUBJECTS) * CHANGES


def _judge(messages: list[Message], hooks: dict[str, Hook], kills: int, seconds: float) -> dict[str, Any]:
    by_path = {hook.path: (name, hook) for name, hook in hooks.items()}
    first: dict[str, Message] = {}
    for one in messages:
        if one.status == 200:
            first.setdefault(one.headers["webhook-id"], one)
    unsigned = sum(not one.is_signed_by(by_path[one.path][1].secret) for one in messages)
    foreign = sum(not one.event["data"]["subject"].startswith(f"{by_path[one.path][0]}-") for one in messages)
    last: dict[str, int] = {}
    unordered = 0
    for one in first.values():
        subject, seq = one.event["data"]["subject"], one.event["seq"]
        unordered += seq < last.get(subject, 0)
        last[subject] = max(seq, last.get(subject, 0))
    accepted = sum(one.status == 200 for one in messages)
    goals = [
        at_most("events lost", 0, _count_sent() - len(first), "events"),
        at_most("events after a later one of their subject", 0, unordered, "events"),
        at_most("messages without a valid signature", 0, unsigned, "messages"),
        at_most("messages at another tenant's receiver", 0, foreign, "messages"),
        at_least("workers killed", 5, kills, "workers"),
    ]
    counts = {"events": _count_sent(), "attempts": len(messages), "refused": len(messages) - accepted}
    return {**counts, "repeated": accepted - len(first), "kills": kills, "seconds": round(seconds, 1), "goals": goals}
