"""Time the light traffic of one tenant, alone and while another attacks the server, in alternating phases.

Only answers that succeeded are timed; the others are counted. The tenant's client, the attacker and the server share
the machine's cores, so the ratios also hold what the attacker's own processor time costs.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np

from app.domain.faces import EMBEDDING_SIZE
from benchmarks.goals import at_least, at_most
from benchmarks.hostile.attackers import ATTACKS, Plan
from benchmarks.serving import drawn_photo, percentile, serving, sign_up

MAX_RATIO = 1.5
FACES = 2_000
_PAUSE_S = 0.02
_SETTLE_S = 1.0
_GENEROUS = dict.fromkeys(("register", "recognize", "delete", "read", "embeddings", "admin"), "unlimited")
_TINY = dict.fromkeys(_GENEROUS, "1/minute")


@dataclass
class Times:
    """Seconds of the answers that succeeded by kind of request, and how many did not succeed."""

    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: int = 0

    def add(self, other: "Times") -> None:
        for kind, values in other.taken.items():
            self.taken[kind] += values
        self.failed += other.failed

    def p95(self, kind: str) -> float:
        return percentile(self.taken[kind], 0.95)

    def p50(self, kind: str) -> float:
        return percentile(self.taken[kind], 0.5)


def prove_neighbors(directory: Path, *, rounds: int, phase_s: float) -> dict[str, Any]:
    """Measure every attack against one worker; returns figures and goals."""
    rows = {}
    with serving() as (api, admin):
        light, heavy, limited = (sign_up(api, admin, rates) for rates in (_GENEROUS, _GENEROUS, _TINY))
        me = httpx.get(f"{api}/auth/me", headers=light).raise_for_status().json()
        plan = Plan(api, heavy, limited, me["email"], _import_faces(api, heavy))
        file = directory / "plan.json"
        plan.save(file)
        _register(api, light)
        asyncio.run(_ask_for(api, light, 3))
        for name in ATTACKS:
            rows[name] = _measure(api, light, name, file, rounds, phase_s)
            print(name, {key: rows[name][key] for key in ("p95 relative to alone", "failed")}, file=sys.stderr)
    return {
        "what": "one tenant's requests, one after the other, while another tenant or nobody attacks; one worker",
        "rounds": rounds,
        "seconds per phase": phase_s,
        "attacks": rows,
        "goals": _goals(rows),
    }


def _goals(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    failed, least = sum(row["failed"] for row in rows.values()), min(row["requests"] for row in rows.values())
    sent = min(row["the attacker's requests"].get("sent", 0) for row in rows.values())
    return [
        *(
            at_most(f"{name}: p95 relative to alone", MAX_RATIO, row["worst ratio"], "ratio")
            for name, row in rows.items()
        ),
        at_most("requests of the light tenant that failed", 0, failed, "requests"),
        at_least("requests of the light tenant in each attack", 1, least, "requests"),
        at_least("requests of the attacker in each attack", 1, sent, "requests"),
    ]


def _measure(api: str, light: dict[str, str], name: str, plan: Path, rounds: int, phase_s: float) -> dict[str, Any]:
    alone, attacked, statuses = Times(), Times(), dict[str, int]()
    for _ in range(rounds):
        alone.add(asyncio.run(_ask_for(api, light, phase_s)))
        attacker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hostile.attackers", name, str(plan)], stdout=subprocess.PIPE, text=True
        )
        assert attacker.stdout is not None
        attacker.stdout.readline()
        time.sleep(_SETTLE_S)
        attacked.add(asyncio.run(_ask_for(api, light, phase_s)))
        attacker.send_signal(signal.SIGTERM)
        for status, count in json.loads(attacker.communicate(timeout=60)[0]).items():
            statuses[status] = statuses.get(status, 0) + count
        time.sleep(_SETTLE_S)
    ratios = {kind: round(attacked.p95(kind) / alone.p95(kind), 2) for kind in alone.taken}
    return {
        "p95 relative to alone": ratios,
        "worst ratio": max(ratios.values()),
        "alone, ms": _describe(alone),
        "attacked, ms": _describe(attacked),
        "requests": sum(map(len, attacked.taken.values())),
        "failed": attacked.failed,
        "failed alone": alone.failed,
        "the attacker's requests": statuses,
    }


def _describe(times: Times) -> dict[str, dict[str, float]]:
    return {
        kind: {"p50": round(1000 * times.p50(kind), 1), "p95": round(1000 * times.p95(kind), 1), "of": len(values)}
        for kind, values in times.taken.items()
    }


async def _ask_for(api: str, headers: dict[str, str], seconds: float) -> Times:
    """Ask one thing after the other, with short pauses, for so many seconds."""
    times, end = Times(), time.monotonic() + seconds
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        while time.monotonic() < end:
            for kind, request in _requests(client, api).items():
                started = time.perf_counter()
                try:
                    answer = await client.send(request)
                except httpx.TransportError:
                    times.failed += 1
                    continue
                if answer.is_success:
                    times.taken[kind].append(time.perf_counter() - started)
                else:
                    times.failed += 1
                await asyncio.sleep(_PAUSE_S)
    return times


def _requests(client: httpx.AsyncClient, api: str) -> dict[str, httpx.Request]:
    files = {"image": ("a.jpg", _PHOTO, "image/jpeg")}
    return {
        "POST /recognize": client.build_request("POST", f"{api}/recognize", files=files),
        "GET subjects": client.build_request("GET", f"{api}/collections/default/subjects"),
        "GET /auth/me": client.build_request("GET", f"{api}/auth/me"),
    }


def _register(api: str, headers: dict[str, str]) -> None:
    accepted = 0
    for seed in range(1, 9):  # the quality gate refuses a few drawn faces
        files = {"images": ("a.jpg", drawn_photo(seed), "image/jpeg")}
        answer = httpx.post(
            f"{api}/register", headers=headers, data={"subject": f"person-{seed}"}, files=files, timeout=60
        )
        accepted += answer.is_success
    assert accepted, answer.text


def _import_faces(api: str, headers: dict[str, str]) -> str:
    """Import a subject with as many faces as one may have; returns its id."""
    files = {"images": ("a.jpg", drawn_photo(9), "image/jpeg")}
    httpx.post(
        f"{api}/register", headers=headers, data={"subject": "large"}, files=files, timeout=60
    ).raise_for_status()
    subject = f"{api}/collections/default/subjects/large"
    document = httpx.get(f"{subject}/export", headers=headers).raise_for_status().json()
    httpx.delete(subject, headers=headers).raise_for_status()
    rng, face = np.random.default_rng(1), document["faces"][0]
    document["faces"] = [face | {"face_id": str(uuid4()), "embedding": _unit(rng)} for _ in range(FACES)]
    imported = httpx.post(f"{api}/subjects/import", headers=headers, json=document, timeout=120)
    if not imported.is_success:
        raise SystemExit(f"the subject could not be imported: {imported.text[:500]}")
    return "large"


def _unit(rng: np.random.Generator) -> list[float]:
    vector = rng.standard_normal(EMBEDDING_SIZE)
    return [round(float(value), 7) for value in vector / np.linalg.norm(vector)]


_PHOTO = drawn_photo(2)
