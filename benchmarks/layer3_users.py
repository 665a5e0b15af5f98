"""Simulate the clients of layer 3 with Locust, in a separate process because Locust patches the standard library.

`BENCH_CELL` names a JSON file with the path, headers and form fields, the folder of photos, whether clients obey
`Retry-After`, and the output file. The output has the start, the duration and the status (0: no response) of each
request. Each client keeps one connection and one request in flight.
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


class Recognizing(FastHttpUser):  # type: ignore[misc,unused-ignore]  # untyped without Locust
    """Recognizes one photo after another."""

    network_timeout = connection_timeout = 120.0
    pause_s = 0.0

    def recognize(self) -> None:
        """Send one request and measure the time until its response is read."""
        headers, body = next(FORMS)
        sent_at, started = time.time(), time.perf_counter()
        with self.client.post(
            CELL["path"], data=body, headers={**CELL["headers"], **headers}, catch_response=True
        ) as response:
            SAMPLES.append((sent_at, time.perf_counter() - started, response.status_code))
            retry_after = response.headers.get("retry-after") if response.headers else None
            response.success()  # statuses are counted from the samples
        self.pause_s = float(retry_after or 0) if CELL["obeys_retry_after"] else 0.0

    tasks = [recognize]

    def wait_time(self) -> float:
        """Return the seconds until the next request."""
        return self.pause_s


def note_start(**_: Any) -> None:
    """Remember the processor time when the test starts; later processor time belongs to the clients."""
    CELL["processor_s"], CELL["started"] = time.process_time(), time.time()


def write_samples(**_: Any) -> None:
    """Write all samples when the test stops."""
    stopped = time.time()
    cores = (time.process_time() - CELL["processor_s"]) / (stopped - CELL["started"])
    written = {"started": CELL["started"], "stopped": stopped, "client_cores": cores, "samples": SAMPLES}
    Path(CELL["out"]).write_text(json.dumps(written))


hooks: Any = events
hooks.test_start.add_listener(note_start)
hooks.test_stop.add_listener(write_samples)
