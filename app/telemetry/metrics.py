"""Expose Prometheus metrics: rates, errors and durations. No label may name a tenant or a person.

Several workers write to files in PROMETHEUS_MULTIPROC_DIR; the worker that serves the metrics adds them up. `vultus
serve` sets that variable before importing this module.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

from app.telemetry.operations import report_to
from app.telemetry.process_names import process_name

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# A client may send any method, and every new label value would stay in memory.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

if _DIRECTORY_VARIABLE in os.environ:
    # Before the first metric: two containers that share the directory have processes of the same id.
    values.ValueClass = values.MultiProcessValue(process_name)  # type: ignore[no-untyped-call]

_registry = CollectorRegistry()
_requests = Counter("vultus_requests", "Requests with a response.", ["route", "method", "status"], registry=_registry)
_seconds = Histogram(
    "vultus_request_seconds",
    "Seconds from a request's headers to the end of its response.",
    ["route"],
    buckets=_SECONDS,
    registry=_registry,
)
_stages = Histogram(
    "vultus_stage_seconds",
    "Seconds that a request with photos or a search spends in each stage.",
    ["stage"],
    buckets=_SECONDS,
    registry=_registry,
)
_stage_errors = Counter(
    "vultus_stage_errors", "Stages that ended with an error, also one of the photo.", ["stage"], registry=_registry
)
_jobs = Histogram(
    "vultus_job_seconds", "Seconds that a job of the queue runs.", ["kind"], buckets=_SECONDS, registry=_registry
)
_job_errors = Counter("vultus_job_errors", "Jobs of the queue that ended with an error.", ["kind"], registry=_registry)
_database = Histogram(
    "vultus_database_seconds",
    "Seconds of a use of the database, with the wait for a connection.",
    ["use"],
    buckets=_SECONDS,
    registry=_registry,
)
_database_errors = Counter(
    "vultus_database_errors",
    "Uses of the database that ended with an error, also one of the caller.",
    ["use"],
    registry=_registry,
)
_delivery_seconds = Histogram(
    "vultus_webhook_seconds",
    "Seconds of an attempt to deliver an event to a webhook.",
    buckets=_SECONDS,
    registry=_registry,
)
_images = Counter("vultus_images", "Photos in successful requests.", registry=_registry)
_photos = Counter(
    "vultus_album_photos",
    "Photos of albums that were processed, by what became of them.",
    ["state", "code"],
    registry=_registry,
)
_deliveries = Counter(
    "vultus_webhook_deliveries", "Attempts to deliver events to webhooks, by outcome.", ["outcome"], registry=_registry
)
_inference = Counter(
    "vultus_inference_calls", "Calls to the inference server, by outcome.", ["outcome"], registry=_registry
)


def describe() -> list[tuple[str, str, tuple[str, ...], str]]:
    """List each metric of this process: exported name, type, labels and meaning."""
    found = []
    for metric in _registry._collector_to_names:
        if isinstance(metric, MetricWrapperBase):
            name = f"{metric._name}_total" if metric._type == "counter" else metric._name
            found.append((name, str(metric._type), tuple(metric._labelnames), metric._documentation))
    return found


def known_method(method: str) -> str:
    """Return the method, or `other`."""
    return method if method in _METHODS else "other"


def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request; `route` is the path's template, never the path itself, which may name people."""
    _requests.labels(route, known_method(method), str(status)).inc()
    _seconds.labels(route).observe(seconds)


def observe_stage(stage: str, seconds: float) -> None:
    """Record the seconds that one request spent in a stage."""
    _stages.labels(stage).observe(seconds)


def observe_stage_error(stage: str) -> None:
    """Count a stage that ended with an error."""
    _stage_errors.labels(stage).inc()


def observe_job(kind: str, seconds: float, succeeded: bool) -> None:
    """Record a job of the queue that has ended."""
    _jobs.labels(kind).observe(seconds)
    if not succeeded:
        _job_errors.labels(kind).inc()


def observe_database(use: str, seconds: float, succeeded: bool) -> None:
    """Record a use of the database that has ended; see `operations.DatabaseUse`."""
    _database.labels(use).observe(seconds)
    if not succeeded:
        _database_errors.labels(use).inc()


report_to(database=observe_database, jobs=observe_job)


def observe_images(count: int) -> None:
    _images.inc(count)


def observe_photo(state: str, code: str | None) -> None:
    """Count a processed photo of an album; `code` says why it failed."""
    _photos.labels(state, code or "").inc()


def observe_webhook(outcome: str, seconds: float) -> None:
    """Record an attempt to deliver an event: `delivered`, `refused`, or the kind of error."""
    _deliveries.labels(outcome).inc()
    _delivery_seconds.observe(seconds)


def observe_inference(outcome: str) -> None:
    """Count a call to the inference server: `answered` or `unavailable`."""
    _inference.labels(outcome).inc()


def expose_queue(received: int, working: int, oldest_s: float, jobs: int) -> bytes:
    """Return the lengths of the photos' queue: the same from whichever process, so they are not added up."""
    registry = CollectorRegistry()
    for name, text, value in (
        ("vultus_photos_waiting", "Photos of albums that wait.", received),
        ("vultus_photos_working", "Photos of albums that workers have taken.", working),
        ("vultus_photos_oldest_seconds", "Seconds since the oldest unfinished photo arrived.", oldest_s),
        ("vultus_jobs", "Jobs that wait or run.", jobs),
    ):
        Gauge(name, text, registry=registry).set(value)
    return generate_latest(registry)


def expose() -> bytes:
    """Return the metrics of all workers in Prometheus's text format."""
    if _DIRECTORY_VARIABLE not in os.environ:
        return generate_latest(_registry)
    merged = CollectorRegistry()
    MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
    return generate_latest(merged)
