"""Export the spans of this process by OTLP over HTTP: the only file that knows OpenTelemetry.

The tracer is not made OpenTelemetry's global one. Libraries with spans of their own would otherwise add paths,
statements and ids to them.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from app.errors import OperatorError
from app.setting_tracing import read_headers
from app.settings import Settings
from app.telemetry import get_logger
from app.telemetry.process_names import process_name
from app.telemetry.spans import Span, SpanKind, SpanPlace, Value, tracer_in_use

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_log = get_logger(__name__)

_EXPORT_TIMEOUT_S = 5
_SHUTDOWN_S = 3.0
_QUEUE = 2048
"""Spans that wait to be exported; further ones are dropped."""
_BATCH = 512
_EXPORT_EVERY_MS = 2000
_LOG_EVERY_S = 60.0


def check_tracing(settings: Settings) -> None:
    """Raise `OperatorError` if traces shall be sent and the packages for it are missing."""
    if settings.otlp_endpoint is None:
        return
    needed = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
    if not all(map(_is_installed, needed)):
        raise OperatorError(
            "VULTUS_OTLP_ENDPOINT is set, but OpenTelemetry's exporter is not installed: run "
            "`pip install 'vultus[tracing]'`, or remove the setting."
        )


@contextmanager
def exported_traces(settings: Settings) -> Iterator[None]:
    """Export spans during the block if an endpoint is set; raises `OperatorError` as `check_tracing` does.

    The end of the block waits at most 3 s for the last spans. Processes must be forked before.
    """
    check_tracing(settings)
    if settings.otlp_endpoint is None:
        yield
        return
    provider = _build_provider(settings)
    try:
        with tracer_in_use(_OtlpTracer(provider.get_tracer("vultus", version("vultus")))):
            yield
    finally:
        # The exporter may wait for a server that does not respond; a daemon does not keep the process.
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(_SHUTDOWN_S)


class _OtlpTracer:
    """Starts OpenTelemetry's spans for `spans.py`."""

    def __init__(self, tracer: Any) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - optional
        from opentelemetry.context import Context  # noqa: PLC0415

        self._trace = trace
        self._tracer = tracer
        self._empty = Context()
        self._kinds = {kind: trace.SpanKind[kind.name] for kind in SpanKind}

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: SpanPlace | None,
        *,
        is_remote: bool = False,
        link: SpanPlace | None = None,
        attributes: Mapping[str, Value] | None = None,
        started_ns: int | None = None,
    ) -> Span:
        context = self._empty
        if parent is not None:
            span = self._trace.NonRecordingSpan(self._context_of(parent, is_remote=is_remote))
            context = self._trace.set_span_in_context(span, context)
        links = [self._trace.Link(self._context_of(link))] if link is not None else None
        return _OtlpSpan(
            self._tracer.start_span(
                name,
                context,
                self._kinds[kind],
                attributes=attributes,
                links=links,
                start_time=started_ns,
                record_exception=False,  # messages may be personal data
                set_status_on_exception=False,
            )
        )

    def _context_of(self, place: SpanPlace, *, is_remote: bool = False) -> Any:
        flags = self._trace.TraceFlags(place.is_sampled)
        return self._trace.SpanContext(place.trace_id, place.span_id, is_remote, flags)


class _OtlpSpan:
    """One of OpenTelemetry's spans."""

    __slots__ = ("_span", "is_ended", "place")

    def __init__(self, span: Any) -> None:
        self._span = span
        self.is_ended = False
        context = span.get_span_context()
        self.place = SpanPlace(context.trace_id, context.span_id, context.trace_flags.sampled)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, error: str, is_ours: bool) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - optional

        self._span.set_attribute("error.type", error)
        if is_ours:
            self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        self.is_ended = True
        self._span.end()


def _build_provider(settings: Settings) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - optional
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    # It logs each failed attempt, with the address; `_WatchedExporter` says once a minute that spans are lost.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    headers = settings.otlp_headers
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.otlp_endpoint}/v1/traces",
        headers=read_headers(headers.get_secret_value()) if headers is not None else None,
        timeout=_EXPORT_TIMEOUT_S,
    )
    about = {"service.name": "vultus", "service.version": version("vultus"), "service.instance.id": process_name()}
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_share)),
        resource=Resource.create(about),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            cast("SpanExporter", _WatchedExporter(exporter)),
            max_queue_size=_QUEUE,
            schedule_delay_millis=_EXPORT_EVERY_MS,
            max_export_batch_size=_BATCH,
        )
    )
    return provider


class _WatchedExporter:
    """Logs at most once a minute that spans could not be exported."""

    def __init__(self, exporter: "SpanExporter") -> None:
        self._exporter = exporter
        self._logged_at = -_LOG_EVERY_S

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        result = self._exporter.export(spans)
        if result.name != "SUCCESS" and time.monotonic() - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = time.monotonic()
            _log.warning("spans_not_exported", count=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
