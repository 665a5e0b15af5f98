"""Layer 2: measure how long single requests to `POST /recognize` take over HTTP, and in which stages.

    make bench-sequential
    python -m benchmarks.layer2_sequential [--photos DIR --pack DIR] [--rounds N] [--out [FILE]]

A temporary Vultus and the reference server run with the same pack, the same 10,000 people and one worker each. They
answer the same photos in turn. The columns of the result are:

- the stages in the header `Server-Timing` of Vultus
- `not_inference`: the client's time minus decoding, detecting, aligning and embedding
- `in_no_stage`: the part of the header's total outside all stages (authentication, rate limits, the form)
- `outside_the_server`: the client, the connection and the server's HTTP parser

Without photos and pack, it runs on drawn people with the synthetic pack, which is much faster than a real one.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import asyncpg
import httpx
import numpy as np
import psutil

from app.ml.synthetic.pack import write_synthetic_pack
from app.persistence.connections.snapshots import use_binary_embeddings
from benchmarks.baselines import serving_reference
from benchmarks.face_embeddings import FaceLike
from benchmarks.galleries import add_tenant, fill
from benchmarks.machine import describe_run
from benchmarks.photos import KINDS, as_form, make_photos
from benchmarks.serving import drawn_photo, percentile, serving, sign_up

RESULT = Path(__file__).parent / "results" / "layer2_sequential.json"
COLLECTION, PEOPLE = "people", 10_000
INFERENCE = ("decode", "detect", "align", "embed")
ROUND_REQUESTS = {"lfw": 50, "group": 16, "large_1": 10, "large_12": 10}
"""Requests to each server per round."""

_RATES = dict.fromkeys(("recognize", "read", "register"), "10000000/minute")


@dataclass(frozen=True)
class Target:
    """A running server: its address, and the path, headers and form fields for photos."""

    name: str
    base: str
    path: str
    pid: int
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    database: str | None = None
    """The owner's address of its database."""


@dataclass
class Tally:
    """The times of one server for one kind of photo, in milliseconds, and the numbers of faces."""

    client_ms: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return percentiles, and the medians of the stages if the server reports them."""
        described: dict[str, Any] = {
            "requests": len(self.client_ms),
            "faces_per_photo": round(float(np.mean(self.faces)), 2),
            **{f"p{share}_ms": round(percentile(self.client_ms, share / 100), 2) for share in (50, 95, 99)},
        }
        if any(self.stages):
            names = dict.fromkeys(name for stages in self.stages for name in stages)
            described["stages_p50_ms"] = {
                name: round(percentile([stages.get(name, 0.0) for stages in self.stages], 0.5), 3) for name in names
            }
            rest = [
                client_ms - sum(stages.get(name, 0.0) for name in INFERENCE)
                for client_ms, stages in zip(self.client_ms, self.stages, strict=True)
            ]
            described["not_inference_p50_ms"] = round(percentile(rest, 0.5), 3)
            described["not_inference_p95_ms"] = round(percentile(rest, 0.95), 3)
            unnamed = [2 * stages.get("total", 0.0) - sum(stages.values()) for stages in self.stages]
            outside = [
                client_ms - stages.get("total", 0.0)
                for client_ms, stages in zip(self.client_ms, self.stages, strict=True)
            ]
            described["in_no_stage_p50_ms"] = round(percentile(unnamed, 0.5), 3)
            described["outside_the_server_p50_ms"] = round(percentile(outside, 0.5), 3)
        return described


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description="Time single requests to recognize over HTTP.")
    add_data_arguments(parser)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    check_data_arguments(parser, arguments)
    exit_on_sigterm()
    photos = {kind: make_photos(kind, arguments.photos) for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory:
        pack = arguments.pack or write_synthetic_pack(Path(directory))
        with both_servers(pack, Path(directory)) as targets:
            for target in targets:
                settle(target)
            tallies = measure(targets, photos, arguments.rounds)
    result = {
        "what": "POST /recognize, one client, one request at a time; milliseconds on the client's clock",
        **describe_run(),
        "pack": pack.name,
        "photos": "LFW" if arguments.photos else "drawn",
        "people": PEOPLE,
        "rounds": arguments.rounds,
        "kinds": {
            kind: {
                "photo_bytes": round(float(np.mean([len(photo) for photo in photos[kind]]))),
                **{name: tally.describe() for name, tally in by_server.items()},
            }
            for kind, by_server in tallies.items()
        },
    }
    print_table(result)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--photos` and `--pack`, which belong together."""
    parser.add_argument("--photos", type=Path, help="photos of real people, one folder per person")
    parser.add_argument("--pack", type=Path, help="the directory of the model pack for these photos")


def check_data_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Require both or neither: the synthetic pack recognizes only drawn faces, a real pack only real ones."""
    if (arguments.photos is None) != (arguments.pack is None):
        parser.error("--photos and --pack must be given together")


def exit_on_sigterm() -> None:
    """Turn SIGTERM into `SystemExit`, so that the servers are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def note(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def draw_people() -> Any:
    """Draw the embeddings of the people (10,000, 512), always the same."""
    return FaceLike(1).draw(PEOPLE)


@contextmanager
def both_servers(
    pack: Path, directory: Path, *, workers: int = 1, reference_workers: int | None = None
) -> Iterator[tuple[Target, Target]]:
    """Run Vultus and the reference server during the block, with the same pack and the same people."""
    gallery = directory / "people.npz"
    people = draw_people()
    np.savez(gallery, subjects=np.array([f"s{index:07d}" for index in range(PEOPLE)]), embeddings=people)
    with (
        vultus_server(pack, people, workers=workers) as vultus,
        serving_reference(pack, gallery, workers=reference_workers or workers) as (base, pid),
    ):
        yield vultus, Target(name="reference", base=base, path="/recognize", pid=pid)


@contextmanager
def vultus_server(pack: Path, people: Any, *, workers: int = 1) -> Iterator[Target]:
    """Run Vultus during the block, with a tenant `bench` whose collection has a subject per embedding."""
    settings = {"VULTUS_MODEL_PACK": str(pack.resolve()), "VULTUS_ACCESS_TOKEN_MINUTES": "1440"}
    with serving(workers=workers, **settings) as (api, admin):
        headers = sign_up(api, admin, _RATES)
        asyncio.run(_fill_collection(admin, _read_recognizer(api, headers), people))
        base, _, path = api.partition("/api")
        yield Target(
            name="vultus",
            base=base,
            path=f"/api{path}/recognize",
            pid=_find_server(base),
            headers=headers,
            fields={"collection": COLLECTION},
            database=admin,
        )


def settle(target: Target) -> None:
    """Wait until all processes of the server are idle, for example until workers have loaded their networks."""
    before, deadline = _processor_s(target.pid), time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(1)
        now = _processor_s(target.pid)
        if now - before < 0.1:
            return
        before = now


def measure(targets: tuple[Target, ...], photos: dict[str, list[bytes]], rounds: int) -> dict[str, dict[str, Tally]]:
    """Measure rounds of each kind of photo, alternating the servers; the first round does not count."""
    tallies = {kind: {target.name: Tally() for target in targets} for kind in photos}
    with httpx.Client(timeout=120) as client:
        for turn in range(rounds + 1):
            for kind, images in photos.items():
                for target in targets if turn % 2 else reversed(targets):
                    tally = tallies[kind][target.name] if turn else Tally()
                    for index in range(ROUND_REQUESTS[kind]):
                        photo = images[(turn * ROUND_REQUESTS[kind] + index) % len(images)]
                        _ask(client, target, photo, tally)
            note(f"round {turn} of {rounds}" if turn else "warmed up")
    return tallies


def print_table(result: dict[str, Any]) -> None:
    """Print the result as a table."""
    times = " ".join(f"{name:>8}" for name in ("p50", "p95", "p99"))
    print(f"{'photos':10} {'server':10} {'faces':>6} {times}  other than inference; stages (p50 ms)")
    for kind, by_server in result["kinds"].items():
        for name in ("vultus", "reference"):
            row = by_server[name]
            stages = ", ".join(f"{stage} {value:.1f}" for stage, value in row.get("stages_p50_ms", {}).items())
            rest = (
                f"{row['not_inference_p50_ms']:.1f}; {stages}, no stage {row['in_no_stage_p50_ms']:.1f}"
                if stages
                else ""
            )
            times = " ".join(f"{row[f'p{share}_ms']:8.1f}" for share in (50, 95, 99))
            print(f"{kind:10} {name:10} {row['faces_per_photo']:6.2f} {times}  {rest}")


def _ask(client: httpx.Client, target: Target, photo: bytes, tally: Tally) -> None:
    headers, body = as_form(photo, target.fields)
    request = client.build_request("POST", target.base + target.path, headers=target.headers | headers, content=body)
    started = time.perf_counter()
    response = client.send(request)
    took_ms = (time.perf_counter() - started) * 1000
    response.raise_for_status()
    tally.client_ms.append(took_ms)
    tally.stages.append(parse_server_timing(response.headers.get("server-timing", "")))
    tally.faces.append(len(response.json()["faces"]))


def parse_server_timing(value: str) -> dict[str, float]:
    """Parse a `Server-Timing` header into milliseconds by stage; empty without the header."""
    stages: dict[str, float] = {}
    for metric in value.split(","):
        name, *parameters = (part.strip() for part in metric.split(";"))
        for parameter in parameters:
            key, _, number = parameter.partition("=")
            if key == "dur":
                stages[name] = stages.get(name, 0.0) + float(number)
    return stages


def _read_recognizer(api: str, headers: dict[str, str]) -> str:
    """Return the name of the running recognizer, which every template needs."""
    files = {"image": ("photo.jpg", drawn_photo(), "image/jpeg")}
    response = httpx.post(f"{api}/extract", headers=headers, files=files, timeout=60).raise_for_status()
    name: str = response.json()["recognizer"]
    return name


async def _fill_collection(admin: str, recognizer: str, people: Any) -> None:
    connection = await asyncpg.connect(admin)
    await use_binary_embeddings(connection)
    tenant_id = await add_tenant(connection, "bench")  # the tenant that signed up
    await fill(connection, tenant_id, COLLECTION, people, note)
    for table in ("galleries", "templates"):
        await connection.execute(f"UPDATE {table} SET recognizer = $1 WHERE tenant_id = $2", recognizer, tenant_id)
    await connection.execute("VACUUM ANALYZE templates")
    await connection.execute("VACUUM ANALYZE subjects")
    await connection.close()


def _find_server(base: str) -> int:
    """Return the process id of the child that serves this address."""
    port = base.rpartition(":")[2]
    return next(child.pid for child in psutil.Process().children() if port in child.cmdline())


def _processor_s(pid: int) -> float:
    root = psutil.Process(pid)
    total_s = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total_s += times.user + times.system
    return total_s


if __name__ == "__main__":
    main()
