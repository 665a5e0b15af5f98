"""Measure the processor time that traces cost per recognition, alternating with and without them.

    python -m benchmarks.tracing [--photos DIR --pack DIR] [--rounds N] [--starts N] [--out [FILE]]

Two servers run on one database: one without the setting, one that exports to a collector in this process. Each round
sends the same photos three times, in changing order:

- `off`: to the first server.
- `not sampled`: to the second one, as parts of traces that their callers do not export.
- `sampled`: to the second one, as parts of traces that their callers export.

Times come from the kernel's accounting of the servers' and PostgreSQL's threads, with the export after the last answer.
Two processes differ by a percent or two even if they do the same, so the cost of a sampled trace is the difference
within the second server. The cost of the setting itself is the difference between the servers, which are started anew
several times. `by default` adds both up for the default of `VULTUS_TRACE_SHARE`. All figures are medians over rounds.
"""

import argparse
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np

from app.ml.synthetic.pack import write_synthetic_pack
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.migrations import migrate
from app.settings import Settings
from app.telemetry.spans import SpanPlace
from benchmarks.bare_client import prepare
from benchmarks.goals import at_most
from benchmarks.layer2_sequential import Target, add_data_arguments, check_data_arguments, exit_on_sigterm, note
from benchmarks.machine import describe_run
from benchmarks.photos import as_form, make_photos
from benchmarks.processor_meter import Meter
from benchmarks.serving import sign_up, started_server

RESULT = Path(__file__).parent / "results" / "tracing.json"
REQUESTS = 60
"""Recognitions per round and kind."""
PEOPLE = 50
SETTLE_S = 2.5
"""Longer than spans wait for their export."""
RATES = dict.fromkeys(("recognize", "register", "subjects:read"), "1000000/minute")


def main() -> None:
    """Measure, print JSON and write it."""
    parser = argparse.ArgumentParser(description="Measure what traces cost.")
    add_data_arguments(parser)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    check_data_arguments(parser, arguments)
    exit_on_sigterm()
    photos = make_photos("lfw", arguments.photos, REQUESTS)
    rows = list[dict[str, float]]()
    spans = 0.0
    with tempfile.TemporaryDirectory(prefix="vultus-bench-") as directory, collecting() as collector:
        pack = arguments.pack or write_synthetic_pack(Path(directory))
        for start in range(arguments.starts):
            with both_servers(Path(directory), pack, collector.url) as (plain, traced):
                collector.size = 0
                rows += _measure_rounds(plain, traced, photos, arguments.rounds)
                spans = collector.size / REQUESTS / (arguments.rounds + 1)
            note(f"start {start + 1} of {arguments.starts}")
    figures = describe(rows)
    result = {
        "what": "processor milliseconds per recognition; 8 clients, one worker; server and PostgreSQL",
        **describe_run(),
        "pack": pack.name,
        "photos": "LFW" if arguments.photos else "drawn",
        "starts": arguments.starts,
        "rounds": len(rows),
        "requests_per_round": REQUESTS,
        "exported_bytes_per_sampled_recognition": round(spans),
        **figures,
        "goals": [at_most("cost of traces by default", 0.02, figures["cost"]["by default"], "share")],
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def describe(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Return the median times, and the costs as shares of a recognition without traces."""
    off = np.array([row["off"] for row in rows])
    unsampled = np.array([row["not sampled"] for row in rows])
    sampled = np.array([row["sampled"] for row in rows])
    share = float(Settings.model_fields["trace_share"].default)
    setting, trace = _median(unsampled / off - 1), _median(sampled / unsampled - 1)
    spread = np.percentile(sampled / unsampled - 1, [25, 75])
    return {
        "processor_ms": {"off": _median(off), "not sampled": _median(unsampled), "sampled": _median(sampled)},
        "default_share": share,
        "cost": {"setting": setting, "sampled": trace, "by default": round(max(setting, 0.0) + share * trace, 4)},
        "quartiles_of_sampled": [round(float(one), 4) for one in spread],
    }


def _median(values: Any) -> float:
    return round(float(np.median(values)), 4)


def _measure_rounds(plain: Target, traced: Target, photos: list[bytes], rounds: int) -> list[dict[str, float]]:
    kinds = [("off", plain, None), ("not sampled", traced, False), ("sampled", traced, True)]
    meters = {id(target): Meter(target) for target in (plain, traced)}
    rows = []
    for turn in range(rounds + 1):
        row: dict[str, float] = {}
        for offset in range(len(kinds)):
            name, target, is_sampled = kinds[(turn + offset) % len(kinds)]
            requests = [_recognize(target, photo, is_sampled) for photo in photos]
            spent, _ = meters[id(target)].measure(requests, settle_s=SETTLE_S)
            row[name] = spent.loop + spent.inference + spent.postgres
        if turn:  # the first one warms up
            rows.append(row)
    return rows


def _recognize(target: Target, photo: bytes, is_sampled: bool | None) -> bytes:
    form, body = as_form(photo, target.fields)
    headers = target.headers | form
    if is_sampled is not None:
        place = SpanPlace(uuid4().int, uuid4().int >> 64, is_sampled)
        headers["traceparent"] = place.traceparent
    return prepare("POST", target.base + target.path, headers, body)


@contextmanager
def both_servers(directory: Path, pack: Path, collector: str) -> Iterator[tuple[Target, Target]]:
    """Run a server without traces and one with them, on one database with one tenant, during the block."""
    import asyncio

    postgres = EmbeddedPostgres(directory)
    postgres.start()
    try:
        admin = asyncio.run(postgres.ensure_database())
        migrate(admin)
        env = {"VULTUS_MODEL_PACK": str(pack.resolve()), "VULTUS_ALBUM_WORKER": "false"}
        env["VULTUS_INFERENCE_DEADLINE_S"] = "120"  # other work on the machine must not refuse requests
        with ExitStack() as stack:
            plain, plain_process = stack.enter_context(started_server(directory, workers=1, **env))
            env["VULTUS_OTLP_ENDPOINT"] = collector
            traced, traced_process = stack.enter_context(started_server(directory, workers=1, **env))
            headers = sign_up(f"{plain}/api/v1", admin, RATES)
            _register(f"{plain}/api/v1", headers)
            path = "/api/v1/recognize"
            yield (
                Target("off", plain, path, plain_process.pid, headers, {}, admin),
                Target("traced", traced, path, traced_process.pid, headers, {}, admin),
            )
    finally:
        postgres.stop()


def _register(api: str, headers: dict[str, str]) -> None:
    """Create subjects, so that the search has somebody to search; their faces are those of drawn people."""
    import httpx

    with httpx.Client(headers=headers, timeout=60) as client:
        for number, photo in enumerate(make_photos("lfw", None, PEOPLE, seed=7)):
            files = {"images": ("a.jpg", photo, "image/jpeg")}
            # A real pack refuses drawn faces; then the collection stays empty.
            client.post(f"{api}/register", data={"subject": f"s{number}", "face": "largest"}, files=files)


class _Sink:
    """Counts the bytes that were exported."""

    def __init__(self) -> None:
        self.url = ""
        self.size = 0


@contextmanager
def collecting() -> Iterator[_Sink]:
    """Accept all traces on a free port of this machine."""
    sink = _Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sink.size += len(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
