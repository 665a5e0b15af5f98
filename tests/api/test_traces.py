"""Traces: spans of requests, of what they do, and of the work that they cause; an absent collector delays nothing."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import structlog

from app.errors import OperatorError
from app.settings import Settings
from app.telemetry.spans import SpanKind, SpanPlace, child_span, root_span
from tests import pictures
from tests.api.conftest import Account, Running, sign_up_at, start
from tests.receivers import Receiver, receiving
from tests.servers import free_port
from tests.videos import Part, film

pytest.importorskip("opentelemetry.sdk.trace", reason="the extra `tracing` is not installed")

from tests.collectors import CollectedSpan, Collector, collecting


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    """Two receivers of webhooks: the operator trusts the first with traces."""
    with receiving() as trusted, receiving() as other:
        yield trusted, other


@pytest.fixture(scope="module")
async def traced(
    settings: Settings, collector: Collector, receivers: tuple[Receiver, Receiver]
) -> AsyncIterator[Running]:
    """An app that exports all traces, with a worker."""
    values = {
        "otlp_endpoint": collector.url,
        "otlp_headers": "x-collector-key=planted-collector-key",
        "trace_share": 1.0,
        "webhook_internal_hosts": [one.url for one in receivers],
        "trace_hosts": [receivers[0].url],
        "album_worker": True,
    }
    changed = Settings.model_validate({**settings.model_dump(), **values})
    async with AsyncExitStack() as stack:
        yield await start(changed, stack)


@pytest.fixture
async def owner(traced: Running) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        yield await sign_up_at(traced, stack)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):  # photos of other tests may come first
        while not condition():
            await asyncio.sleep(0.05)


def begin_trace(*, is_sampled: bool = True) -> SpanPlace:
    return SpanPlace(uuid4().int, uuid4().int >> 64, is_sampled)


async def collected(collector: Collector, place: SpanPlace, *names: str) -> dict[str, CollectedSpan]:
    """Wait until spans with these names arrived in a trace; return the trace's spans by name."""
    trace_id = f"{place.trace_id:032x}"
    try:
        await until(lambda: set(names) <= {span.name for span in collector.of_trace(trace_id)})
    except TimeoutError:
        pytest.fail(f"only {sorted({span.name for span in collector.of_trace(trace_id)})} of {names}")
    return {span.name: span for span in collector.of_trace(trace_id)}


def sent_in(account: Account, place: SpanPlace) -> None:
    account.client.headers["traceparent"] = place.traceparent


async def test_a_registration_is_a_trace_of_its_stages(owner: Account, collector: Collector) -> None:
    place = begin_trace()
    sent_in(owner, place)
    assert (await owner.register("ada", pictures.photo(1))).status_code == 201
    spans = await collected(collector, place, "POST /api/v1/register")
    request = spans["POST /api/v1/register"]
    assert (request.kind, request.parent_id, request.is_error) == ("server", f"{place.span_id:016x}", False)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v1/register",
        "http.response.status_code": 201,
    }
    assert spans.keys() >= {"receive", "decode", "detect", "align", "embed", "database transaction"}
    assert spans["database transaction"].attributes == {"db.system.name": "postgresql"}
    known = {span.span_id for span in spans.values()} | {one.span_id for one in collector.of_trace(request.trace_id)}
    assert all(span.parent_id in known for span in spans.values() if span is not request)
    assert all(0 <= span.seconds <= request.seconds for span in spans.values())


async def test_a_recognition_shows_its_search(owner: Account, collector: Collector) -> None:
    await owner.register("ada", pictures.photo(1))
    place = begin_trace()
    sent_in(owner, place)
    assert (await owner.send("/recognize", pictures.photo(1, take=1))).status_code == 200
    spans = await collected(collector, place, "POST /api/v1/recognize")
    request, search = spans["POST /api/v1/recognize"], spans["search"]
    assert search.parent_id == request.span_id
    below = {span.name for span in collector.of_trace(request.trace_id) if span.parent_id == search.span_id}
    assert below & {"database snapshot", "database statement"}


async def test_an_album_photo_continues_the_trace_of_its_upload(owner: Account, collector: Collector) -> None:
    assert (await owner.client.post("/albums", json={"id": "party"})).status_code == 201
    place = begin_trace()
    sent_in(owner, place)
    files = {"image": ("a.jpg", pictures.group(1, 2), "image/jpeg")}
    assert (await owner.client.put("/albums/party/photos/1.jpg", files=files)).status_code == 202
    upload = "PUT /api/v1/albums/{album}/photos/{external_id:path}"
    spans = await collected(collector, place, upload, "album photo", "embed")
    photo = spans["album photo"]
    assert (photo.kind, photo.parent_id) == ("consumer", spans[upload].span_id)
    ((job_trace, job_id),) = photo.links
    await until(lambda: job_id in {span.span_id for span in collector.of_trace(job_trace)})
    assert job_id in {span.span_id for span in collector.named("job photos.turn")}
    below = {span.name for span in collector.of_trace(photo.trace_id) if span.parent_id == photo.span_id}
    assert {"decode", "detect", "embed", "database statement"} <= below


async def test_the_steps_of_a_video_continue_the_trace_of_its_upload(owner: Account, collector: Collector) -> None:
    assert (await owner.client.post("/albums", json={"id": "party"})).status_code == 201
    place = begin_trace()
    sent_in(owner, place)
    fields = {"album": "party", "external_id": "a.mp4"}
    files = {"video": ("a.mp4", film([Part(1, 0, 2)], 2, per_second=4))}
    assert (await owner.client.post("/videos", data=fields, files=files)).status_code == 202
    spans = await collected(collector, place, "POST /api/v1/videos", "video look", "video watch", "video join", "embed")
    for step in ("video look", "video watch", "video join"):
        assert (spans[step].kind, spans[step].is_error) == ("consumer", False)
        ((job_trace, _),) = spans[step].links
        assert job_trace != spans[step].trace_id


async def test_a_delivery_continues_the_trace_of_the_change(
    owner: Account, collector: Collector, receivers: tuple[Receiver, Receiver]
) -> None:
    for receiver in receivers:
        answer = await owner.client.post("/webhooks", json={"url": f"{receiver.url}/hook"})
        assert answer.status_code == 201, answer.text
    place = begin_trace()
    sent_in(owner, place)
    answer = await owner.client.post("/collections/default/subjects", json={"subject": "eve"})
    assert answer.status_code == 201
    request = "POST /api/v1/collections/{collection}/subjects"
    await until(lambda: all(receiver.accepted for receiver in receivers))
    await until(
        lambda: len([span for span in collector.named("webhook delivery") if span.trace_id in place.traceparent]) == 2
    )
    spans = await collected(collector, place, request, "webhook delivery")
    deliveries = [span for span in collector.named("webhook delivery") if span.trace_id in place.traceparent]
    for delivery in deliveries:
        assert (delivery.kind, delivery.parent_id) == ("client", spans[request].span_id)
        assert delivery.attributes == {"vultus.outcome": "delivered"}
    trusted, other = receivers
    sent = trusted.accepted[-1].headers["traceparent"]
    assert sent.split("-")[2] in {span.span_id for span in deliveries}
    assert all("traceparent" not in message.headers for message in other.messages)


async def test_the_caller_decides_whether_its_trace_is_exported(owner: Account, collector: Collector) -> None:
    dropped, kept = begin_trace(is_sampled=False), begin_trace()
    for place in (dropped, kept):
        sent_in(owner, place)
        assert (await owner.client.get("/auth/me")).status_code == 200
    await collected(collector, kept, "GET /api/v1/auth/me")
    assert not collector.of_trace(f"{dropped.trace_id:032x}")


@pytest.mark.parametrize(
    "traceparent",
    ["", "00", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01", "a" * 5000],
)
async def test_a_malformed_traceparent_begins_a_trace(traceparent: str, owner: Account, collector: Collector) -> None:
    before = len(collector.named("GET /api/v1/auth/me"))
    owner.client.headers["traceparent"] = traceparent
    assert (await owner.client.get("/auth/me")).status_code == 200
    await until(lambda: len(collector.named("GET /api/v1/auth/me")) > before)
    assert collector.named("GET /api/v1/auth/me")[-1].parent_id == ""


async def test_a_refused_request_has_its_code_and_is_no_error_of_the_service(
    owner: Account, collector: Collector
) -> None:
    place = begin_trace()
    sent_in(owner, place)
    assert (await owner.client.get("/collections/nowhere")).status_code == 404
    spans = await collected(collector, place, "GET /api/v1/collections/{collection}")
    request = spans["GET /api/v1/collections/{collection}"]
    assert (request.attributes["error.type"], request.is_error) == ("collection_not_found", False)


async def test_probes_and_unknown_paths_tell_nothing(owner: Account, traced: Running, collector: Collector) -> None:
    place = begin_trace()
    sent_in(owner, place)
    base = str(owner.client.base_url).removesuffix("/api/v1/")
    assert (await owner.client.get(f"{base}/readyz")).status_code == 200
    assert (await owner.client.get(f"{base}/secret-path?secret=query")).status_code == 404
    spans = await collected(collector, place, "GET none")
    assert spans["GET none"].attributes["http.response.status_code"] == 404
    assert len(collector.of_trace(f"{place.trace_id:032x}")) == 1


async def test_the_collector_learns_which_service_it_is(owner: Account, collector: Collector) -> None:
    await until(lambda: bool(collector.resources))
    assert collector.resources[0]["service.name"] == "vultus"
    assert collector.headers[0]["x-collector-key"] == "planted-collector-key"


async def test_log_lines_name_the_trace(owner: Account) -> None:
    root = logging.getLogger()
    formatter, lines = root.handlers[0].formatter, list[str]()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert formatter is not None
            lines.append(formatter.format(record))

    handler, level = Keep(), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        kept, dropped = begin_trace(), begin_trace(is_sampled=False)
        for place in (kept, dropped):
            sent_in(owner, place)
            await owner.client.get("/auth/me")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    first, second = (json.loads(line) for line in lines if json.loads(line)["event"] == "request")
    assert first["trace_id"] == f"{kept.trace_id:032x}"
    assert len(first["span_id"]) == 16
    assert "trace_id" not in second


async def test_a_task_that_outlives_its_span_adds_nothing_to_the_trace(traced: Running) -> None:
    async def late() -> Any:
        await asyncio.sleep(0)
        with child_span("late") as span:
            return span

    with root_span("short", SpanKind.SERVER, begin_trace().traceparent):
        task = asyncio.create_task(late())
    assert await task is None


@pytest.mark.parametrize("is_silent", [False, True], ids=["nobody listens", "never answers"])
async def test_an_absent_collector_delays_nothing(is_silent: bool, settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        url = stack.enter_context(collecting(is_silent=True)).url if is_silent else f"http://127.0.0.1:{free_port()}"
        changed = settings.model_copy(update={"otlp_endpoint": url, "trace_share": 1.0})
        with structlog.testing.capture_logs():
            async with AsyncExitStack() as inner:
                running = await start(changed, inner)
                account = await sign_up_at(running, inner)
                for _ in range(3):
                    assert (await account.register("ada", pictures.photo(1))).status_code in (200, 201)
                await asyncio.sleep(2.5)  # an export has begun
                for _ in range(600):  # more than the queue holds, while nothing is exported
                    with root_span("filling", SpanKind.SERVER), child_span("a"), child_span("b"), child_span("c"):
                        pass
                assert (await account.send("/recognize", pictures.photo(1))).status_code == 200
                began_at = time.monotonic()
        # The last spans are given 3 s, everything else of the shutdown little more.
        assert time.monotonic() - began_at < 20


async def test_without_the_extra_the_setting_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from app.telemetry.tracing import check_tracing

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "opentelemetry.sdk.trace", raising=False)
    check_tracing(settings)
    changed = settings.model_copy(update={"otlp_endpoint": "http://collector.internal:4318"})
    with pytest.raises(OperatorError, match=r"pip install 'vultus\[tracing\]'"):
        check_tracing(changed)
    with pytest.raises(OperatorError, match="VULTUS_OTLP_ENDPOINT"):
        async with AsyncExitStack() as stack:
            await start(changed, stack)
