"""What Prometheus reads of a server: requests, refusals, where the time goes. No tenant, nobody's name in any label.

Several workers write to files that whichever answers adds up: the directory is named by PROMETHEUS_MULTIPROC_DIR, which
`vultus serve` sets before this file is imported.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

# A client can call its method anything: each new label would stay for ever.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_registry = CollectorRegistry()
_requests = Counter("vultus_requests", "Requests answered.", ["route", "method", "status"], registry=_registry)
_seconds = Histogram(
    "vultus_request_seconds",
    "From a request's headers to its answer's end.",
    ["route"],
    buckets=_SECONDS,
    registry=_registry,
)
_stages = Histogram(
    "vultus_stage_seconds",
    "Where the time of requests with photos goes.",
    ["stage"],
    buckets=_SECONDS,
    registry=_registry,
)
_images = Counter("vultus_images", "Photos in requests that were answered with success.", registry=_registry)


def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request; `route` is the template of its path, never the path."""
    _requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
    _seconds.labels(route).observe(seconds)


def observe_stage(stage: str, seconds: float) -> None:
    """Count the time that one request spent in a stage."""
    _stages.labels(stage).observe(seconds)


def observe_images(count: int) -> None:
    """Count photos."""
    _images.inc(count)


def expose() -> bytes:
    """All of it, as Prometheus reads it; of all workers where there are several."""
    if DIRECTORY not in os.environ:
        return generate_latest(_registry)
    merged = CollectorRegistry()
    MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
    return generate_latest(merged)
