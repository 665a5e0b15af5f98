"""The clients of layer 3, for Locust, which changes the standard library when it is imported and so runs apart.

`BENCH_CELL` names a JSON file with the path, headers and form fields, the folder of photos, whether a client waits as
`Retry-After` says, and where the raw times go: when each request began, how long it took, and its status (0: none).
Each client keeps one connection and one request in flight.
"""

import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events

from benchmarks.photos import as_form

CELL: dict[str, Any] = json.loads(Path(os.environ["BENCH_CELL"]).read_text())
FORMS: Iterator[Any] = itertools.cycle(
    [as_form(file.read_bytes(), CELL["fields"]) for file in sorted(Path(CELL["photos"]).glob("*.jpg"))]
)
SAMPLES: list[tuple[float, float, int]] = []


class Recognizing(FastHttpUser):  # type: ignore[misc,unused-ignore]  # of no type where Locust is not installed
    """Recognizes one photo after the other."""

    network_timeout = connection_timeout = 120.0
    pause_s = 0.0

    def recognize(self) -> None:
        """One request, timed until its answer is read."""
        headers, body = next(FORMS)
        began, started = time.time(), time.perf_counter()
        with self.client.post(
            CELL["path"], data=body, headers={**CELL["headers"], **headers}, catch_response=True
        ) as answer:
            SAMPLES.append((began, time.perf_counter() - started, answer.status_code))
            retry_after = answer.headers.get("retry-after") if answer.headers else None
            answer.success()  # statuses are counted from the samples
        self.pause_s = float(retry_after or 0) if CELL["heeds_retry_after"] else 0.0

    tasks = [recognize]

    def wait_time(self) -> float:
        """Until the next request, seconds."""
        return self.pause_s


def note_start(**_: Any) -> None:
    """Processor time from here on is the clients'."""
    CELL["processor_s"], CELL["started"] = time.process_time(), time.time()


def write_samples(**_: Any) -> None:
    """Everything that was answered until now."""
    stopped = time.time()
    cores = (time.process_time() - CELL["processor_s"]) / (stopped - CELL["started"])
    written = {"started": CELL["started"], "stopped": stopped, "client_cores": cores, "samples": SAMPLES}
    Path(CELL["out"]).write_text(json.dumps(written))


hooks: Any = events
hooks.test_start.add_listener(note_start)
hooks.test_stop.add_listener(write_samples)
