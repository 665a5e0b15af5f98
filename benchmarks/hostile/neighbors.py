"""Time the light traffic of one tenant, alone and while another attacks the server, in alternating phases.

Only answers that succeeded are timed; the others are counted. The tenant's client, the attacker and the server share
the machine's cores. The client sends prepared bytes over one connection. The attacker is a process of its own with
prepared requests and the lowest priority, so that the ratios show the server. The first row is a control: a process of
the same priority that sends nothing and only keeps a core busy.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import numpy as np
import psutil

from app.domain.faces import EMBEDDING_SIZE
from benchmarks.bare_client import prepare
from benchmarks.goals import at_least, at_most
from benchmarks.hostile.attackers import ATTACKS, CONTROL, Plan
from benchmarks.photos import as_form
from benchmarks.serving import drawn_photo, percentile, serving, sign_up

MAX_RATIO = 1.5
FACES = 2_000
MIN_SAMPLES = 100
_PAUSE_S = 0.005
_SETTLE_S = 1.0
_IDLE_PERCENT = 20.0
_IDLE_WITHIN_S = 30.0
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


def prove_neighbors(directory: Path, *, rounds: int, phase_s: float, attacks: Sequence[str] = ()) -> dict[str, Any]:
    """Measure the attacks, by default all, against one worker; returns figures and goals."""
    rows = {}
    with serving() as (api, admin):
        light, heavy, limited = (sign_up(api, admin, rates) for rates in (_GENEROUS, _GENEROUS, _TINY))
        me = httpx.get(f"{api}/auth/me", headers=light).raise_for_status().json()
        plan = Plan(api, heavy, limited, me["email"], _import_faces(api, heavy))
        file = directory / "plan.json"
        plan.save(file)
        _register(api, light)
        requests = _prepare(api, light)
        _ask_for(api, requests, 3)
        for name in attacks or ATTACKS:
            rows[name] = _measure(api, requests, name, file, rounds, phase_s)
            print(name, {key: rows[name][key] for key in ("p95 relative to alone", "failed")}, file=sys.stderr)
    return {
        "what": "one tenant's requests, one after the other, while another tenant or nobody attacks; one worker",
        "rounds": rounds,
        "seconds per phase": phase_s,
        "attacks": rows,
        "goals": _goals(rows),
    }


def _goals(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    failed = sum(row["failed"] for row in rows.values())
    samples = min(of["of"] for row in rows.values() for of in row["attacked, ms"].values())
    sent = min(row["the attacker's requests"].get("sent", 0) for name, row in rows.items() if name != CONTROL)
    return [
        *(
            at_most(f"{name}: p95 relative to alone", MAX_RATIO, row["worst ratio"], "ratio")
            for name, row in rows.items()
            if name != CONTROL
        ),
        at_most("requests of the light tenant that failed", 0, failed, "requests"),
        at_least("requests of the light tenant of each kind in each attack", MIN_SAMPLES, samples, "requests"),
        at_least("requests of the attacker in each attack", 1, sent, "requests"),
    ]


def _measure(
    api: str, requests: dict[str, bytes], name: str, plan: Path, rounds: int, phase_s: float
) -> dict[str, Any]:
    alone, attacked, statuses = Times(), Times(), dict[str, int]()
    for _ in range(rounds):
        _wait_until_idle()
        alone.add(_ask_for(api, requests, phase_s))
        attacker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hostile.attackers", name, str(plan)], stdout=subprocess.PIPE, text=True
        )
        assert attacker.stdout is not None
        attacker.stdout.readline()
        time.sleep(_SETTLE_S)
        attacked.add(_ask_for(api, requests, phase_s))
        attacker.send_signal(signal.SIGTERM)
        for status, count in json.loads(attacker.communicate(timeout=60)[0]).items():
            statuses[status] = statuses.get(status, 0) + count
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


def _wait_until_idle() -> None:
    """Wait until the machine has finished what the attack before left to do."""
    end = time.monotonic() + _IDLE_WITHIN_S
    while psutil.cpu_percent(interval=0.3) > _IDLE_PERCENT and time.monotonic() < end:
        pass


def _ask_for(api: str, requests: dict[str, bytes], seconds: float) -> Times:
    """Send one request after the other over a kept connection, with short pauses, for so many seconds."""
    times, end, connection = Times(), time.monotonic() + seconds, Connection(api)
    while time.monotonic() < end:
        for kind, request in requests.items():
            started = time.perf_counter()
            try:
                status = connection.send(request)
            except OSError:
                times.failed += 1
                connection.close()
                connection = Connection(api)
                continue
            if status < 300:
                times.taken[kind].append(time.perf_counter() - started)
            else:
                times.failed += 1
            time.sleep(_PAUSE_S)
    connection.close()
    return times


class Connection:
    """A kept HTTP/1.1 connection for prepared requests."""

    def __init__(self, api: str) -> None:
        parts = urlsplit(api)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> int:
        """Send a request and read its whole answer; returns the status. Raises `OSError` if the connection ends."""
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        missing = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]) - len(body)
        while missing > 0:
            missing -= len(self._receive())
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError
        return data


def _prepare(api: str, headers: dict[str, str]) -> dict[str, bytes]:
    form, body = as_form(_PHOTO, {})
    return {
        "POST /recognize": prepare("POST", f"{api}/recognize", headers | form, body),
        "GET subjects": prepare("GET", f"{api}/collections/default/subjects", headers),
        "GET /auth/me": prepare("GET", f"{api}/auth/me", headers),
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
