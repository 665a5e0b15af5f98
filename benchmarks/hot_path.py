"""Measure where the processor time of a request goes: the event loop, inference, PostgreSQL, the client.

    make bench-hot-path
    python -m benchmarks.hot_path [--photos DIR --pack DIR] [--rounds N] [--out [FILE]]

One worker serves a collection of 10,000 people to 8 clients, on embedded PostgreSQL. Times come from the kernel's
accounting of each thread, so that other work on the machine changes them little. `loop` is the worker's main thread,
`inference` all its other threads. Every round measures each kind of request in turn, and the reference server on the
same photos; the result has the median round. Only answers that succeeded count.

`alone` is the same analysis of the same photos in a process without a server. `growth` compares a recognition beside
many tenants, keys and audit entries with one beside none (benchmarks/growth.py).
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import httpx
import numpy as np

from app.ml.analysis import Embed
from app.ml.synthetic.pack import write_synthetic_pack
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from app.wiring.process import SWITCH_INTERVAL_S
from benchmarks.bare_client import prepare
from benchmarks.goals import at_least, at_most
from benchmarks.growth import measure_growth, state_growth_goal
from benchmarks.layer2_sequential import (
    Target,
    add_data_arguments,
    both_servers,
    check_data_arguments,
    exit_on_sigterm,
    note,
    settle,
)
from benchmarks.machine import describe_run
from benchmarks.photos import KINDS, as_form, make_photos
from benchmarks.processor_meter import Meter, Spent

RESULT = Path(__file__).parent / "results" / "hot_path.json"
REQUESTS = {"lfw": 240, "group": 48, "large_1": 24, "large_12": 16}
"""Photos per round and server."""
OTHERS = 160
"""Requests per round of the kinds without a group of photos."""


def main() -> None:
    """Measure, print JSON and write it."""
    parser = argparse.ArgumentParser(description="Measure the processor time of a request by stage.")
    add_data_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    check_data_arguments(parser, arguments)
    exit_on_sigterm()
    photos = {kind: make_photos(kind, arguments.photos) for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        pack = arguments.pack or write_synthetic_pack(Path(directory))
        with both_servers(pack, Path(directory)) as (vultus, reference):
            for target in (vultus, reference):
                settle(target)
            rounds = _measure_rounds(vultus, reference, photos, arguments.rounds)
        alone = {f"{threads} threads": _analyze_alone(pack, photos["lfw"], threads) for threads in (1, 2)}
        growth = measure_growth(pack, photos["lfw"], max(arguments.rounds, 3))
    kinds = {name: _median([row[name] for row in rounds]) for name in rounds[0]}
    result = {
        "what": "processor milliseconds per request; 8 clients, one worker, a collection of 10,000",
        **describe_run(),
        "pack": pack.name,
        "photos": "LFW" if arguments.photos else "drawn",
        "rounds": arguments.rounds,
        "served": kinds,
        "alone": alone,
        "growth": growth,
        "goals": [*state_goals(kinds, alone), state_growth_goal(growth)],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def state_goals(kinds: dict[str, dict[str, float]], alone: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Compare the measured figures with their goals."""
    lfw, cores = kinds["recognize lfw"], float(os.cpu_count() or 1)

    def ratio(kind: str) -> float:
        return round(kinds[f"recognize {kind}"]["per_s"] / kinds[f"reference {kind}"]["per_s"], 2)

    register, listed = kinds["register"], kinds["list subjects"]
    bound = cores * 1000 / alone["1 threads"]["processor ms"]
    return [
        at_most("recognize: loop and PostgreSQL", 1.8, round(lfw["loop"] + lfw["postgres"], 2), "ms"),
        at_most("inference of an LFW photo, served", 8.0, lfw["inference"], "ms"),
        at_most("inference of an LFW photo, alone", 8.0, alone["1 threads"]["processor ms"], "ms"),
        at_least("cores busy, bare loop", 1.95, alone["2 threads"]["cores busy"], "cores"),
        at_least("cores busy, served at 8 clients", 1.95, lfw["cores_busy"], "cores"),
        at_least("LFW photos per second against the reference", 7, ratio("lfw"), "ratio"),
        *(at_least(f"{kind} against the reference", 4, ratio(kind), "ratio") for kind in KINDS if kind != "lfw"),
        at_least("of the cores' time for inference", 0.85, round(lfw["per_s"] / bound, 2), "share"),
        at_most("register: loop and PostgreSQL", 4, round(register["loop"] + register["postgres"], 2), "ms"),
        at_most("list of subjects: loop", 1.2, listed["loop"], "ms"),
    ]


def _measure_rounds(
    vultus: Target, reference: Target, photos: dict[str, list[bytes]], rounds: int
) -> list[dict[str, Spent]]:
    ours, theirs = Meter(vultus), Meter(reference)
    key = _create_key(vultus)
    for collection in ("registered", "tried"):
        url = f"{_api(vultus)}/collections"
        httpx.post(url, headers=vultus.headers, json={"name": collection}).raise_for_status()
    results = []
    for turn in range(rounds + 1):
        row: dict[str, Spent] = {}
        for kind, images in photos.items():
            chosen = [images[(turn * REQUESTS[kind] + index) % len(images)] for index in range(REQUESTS[kind])]
            for meter, target, name in ((ours, vultus, "recognize"), (theirs, reference, "reference")):
                row[f"{name} {kind}"] = meter.measure([_recognize(target, photo) for photo in chosen])[0]
        some = [photos["lfw"][index % len(photos["lfw"])] for index in range(OTHERS)]
        row["recognize lfw by API key"] = ours.measure([_recognize(vultus, photo, key) for photo in some])[0]
        row["register"] = ours.measure([_register(vultus, photo) for photo in _acceptable(vultus, some)])[0]
        row["list subjects"] = ours.measure([_list(vultus)] * OTHERS)[0]
        if turn:
            results.append(row)
        note(f"round {turn} of {rounds}" if turn else "warmed up")
    return results


def _median(rows: list[Spent]) -> dict[str, float]:
    described = [row.describe() for row in rows]
    return {name: round(float(np.median([row[name] for row in described])), 3) for name in described[0]}


def _recognize(target: Target, photo: bytes, headers: dict[str, str] | None = None) -> bytes:
    form, body = as_form(photo, target.fields)
    return prepare("POST", target.base + target.path, (headers or target.headers) | form, body)


def _register(target: Target, photo: bytes) -> bytes:
    fields = {"collection": "registered", "subject": uuid4().hex, "face": "largest"}
    form, body = as_form(photo, fields)
    return prepare("POST", f"{_api(target)}/register", target.headers | form, body.replace(b'"image"', b'"images"'))


def _list(target: Target) -> bytes:
    url = f"{_api(target)}/collections/{target.fields['collection']}/subjects?limit=50"
    return prepare("GET", url, target.headers)


def _api(target: Target) -> str:
    return (target.base + target.path).rpartition("/")[0]


def _create_key(target: Target) -> dict[str, str]:
    response = httpx.post(
        f"{_api(target)}/keys", headers=target.headers, json={"name": "bench", "scopes": ["recognize"]}
    )
    return {"x-api-key": response.raise_for_status().json()["key"]}


_accepted: dict[bytes, bool] = {}


def _acceptable(target: Target, photos: Sequence[bytes]) -> list[bytes]:
    """Return as many photos, only those that registration accepts."""
    for photo in photos:
        if photo not in _accepted:
            form, body = as_form(photo, {"collection": "tried", "subject": uuid4().hex, "face": "largest"})
            body = body.replace(b'"image"', b'"images"')
            url = f"{_api(target)}/register"
            created = httpx.post(url, headers=target.headers | form, content=body, timeout=60)
            _accepted[photo] = created.status_code == 201
    accepted = [photo for photo in photos if _accepted[photo]]
    return [accepted[index % len(accepted)] for index in range(len(photos))]


def _analyze_alone(pack: Path, photos: Sequence[bytes], threads: int) -> dict[str, float]:
    """Analyze photos in a loop on each thread; returns processor time per photo and how many cores were busy."""
    import sys

    with tempfile.TemporaryDirectory() as directory:
        settings = {"model_pack": str(pack.resolve()), "data_dir": directory, "inference_threads": threads}
        analyzer = build_analyzer(Settings.model_validate(settings))
        sys.setswitchinterval(SWITCH_INTERVAL_S)

        def analyze(share: Sequence[bytes]) -> None:
            for photo in share:
                analyzer.analyze(photo, Embed.ALL)

        _run_threads(analyze, [photos[:20]] * threads)
        repeated = list(photos) * max(1, 400 // len(photos))
        spent, started = time.process_time(), time.perf_counter()
        _run_threads(analyze, [repeated[index::threads] for index in range(threads)])
        elapsed, spent = time.perf_counter() - started, time.process_time() - spent
    return {
        "processor ms": round(1000 * spent / len(repeated), 3),
        "per_s": round(len(repeated) / elapsed, 1),
        "cores busy": round(spent / elapsed, 3),
    }


def _run_threads(work: Callable[[Sequence[bytes]], None], shares: Sequence[Sequence[bytes]]) -> None:
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
