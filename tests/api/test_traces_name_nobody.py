"""Traces, logs and metrics of registrations, recognitions, albums, erasures and failing calls name nobody."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from app.settings import Settings
from app.telemetry import get_logger
from app.telemetry.spans import SpanKind, root_span
from tests import pictures
from tests.api.conftest import PASSWORD, Account, Running, sign_up_at, start
from tests.receivers import Receiver, receiving

pytest.importorskip("opentelemetry.sdk.trace", reason="the extra `tracing` is not installed")

from tests.collectors import Collector, collecting

SUBJECT, NAME, OTHER_SUBJECT = "subject-zq7x1", "Zebulon Quarx", "subject-zq7x2"
PHOTO, TITLE, LABEL = "external-zq7x3.jpg", "Title Zq7x4", "label-zq7x5"
SECRET_ID, QUERY, WRONG_PASSWORD = "request-zq7x6", "query-zq7x7", "wrong-zq7x8-password"
METRICS_TOKEN, HEADER = "metrics token for this test 0123456789", "collector-zq7x9"


def find(text: str, secrets: dict[str, str]) -> list[str]:
    """Return which of the secrets are in a text."""
    folded = text.lower()
    return [kind for kind, secret in secrets.items() if secret.lower() in folded]


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect the lines that the service writes, with the details of every level."""
    root, lines = logging.getLogger(), list[str]()
    formatter, level = root.handlers[0].formatter or logging.Formatter(), root.level

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    handler = Keep()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
async def traced(settings: Settings, collector: Collector, receiver: Receiver) -> AsyncIterator[Running]:
    values = {
        "otlp_endpoint": collector.url,
        "otlp_headers": f"authorization=Bearer {HEADER}",
        "trace_share": 1.0,
        "metrics_token": METRICS_TOKEN,
        "webhook_internal_hosts": [receiver.url],
        "album_worker": True,
    }
    changed = Settings.model_validate({**settings.model_dump(), **values})
    async with AsyncExitStack() as stack:
        yield await start(changed, stack)


async def use_everything(owner: Account, receiver: Receiver, running: Running) -> dict[str, str]:
    """Register, recognize, use an album, and fail; return what must be named nowhere."""
    client = owner.client
    client.headers["tracestate"] = f"vendor={SUBJECT}"
    client.headers["baggage"] = f"name={SUBJECT}"
    key = (await client.post("/keys", json={"name": "program", "scopes": ["recognize"]})).json()["key"]
    webhook = await client.post("/webhooks", json={"url": f"{receiver.url}/hook"})
    assert webhook.status_code == 201, webhook.text
    for subject, person in ((SUBJECT, 1), (OTHER_SUBJECT, 2)):
        registered = await owner.register(subject, pictures.photo(person), name=NAME, metadata=f'{{"x": "{LABEL}"}}')
        assert registered.status_code == 201, registered.text
    found = await owner.send("/recognize", pictures.photo(1, take=1))
    assert SUBJECT in found.text
    extracted = (await owner.send("/extract", pictures.photo(1))).json()
    embedding = extracted["faces"][0]["embedding"]
    assert (await client.get(f"/collections/default/subjects/{SUBJECT}/similar")).status_code < 500
    assert (await client.get("/collections/default/subjects", params={"search": QUERY})).status_code < 500
    assert (await client.post("/albums", json={"id": "party", "title": TITLE})).status_code == 201
    files = {"image": (PHOTO, pictures.group(1, 2), "image/jpeg")}
    assert (await client.put(f"/albums/party/photos/{PHOTO}", files=files)).status_code == 202
    async with asyncio.timeout(60):
        while (await client.get("/albums/party")).json()["photos"]["done"] != 1:
            await asyncio.sleep(0.05)
    await fail_everywhere(owner, running, key)
    assert (await client.delete(f"/collections/default/subjects/{SUBJECT}")).status_code < 300
    assert (await client.delete("/albums/party")).status_code < 300
    values = np.asarray(embedding, np.float32)
    return {
        "subject": SUBJECT,
        "other subject": OTHER_SUBJECT,
        "name": NAME,
        "metadata": LABEL,
        "email": owner.email,
        "password": PASSWORD,
        "wrong password": WRONG_PASSWORD,
        "external id": PHOTO,
        "title": TITLE,
        "query": QUERY,
        "access token": owner.tokens["access_token"],
        "refresh token": owner.tokens["refresh_token"],
        "API key": key,
        "secret of the API key": key.rpartition("_")[2],
        "secret of the webhook": webhook.json()["secret"],
        "collector's header": HEADER,
        "metrics token": METRICS_TOKEN,
        "embedding": ", ".join(str(value) for value in embedding[:3]),
        "one value of the embedding": str(embedding[0]),
        "embedding in base64": base64.b64encode(values.tobytes()).decode()[:40],
    }


async def fail_everywhere(owner: Account, running: Running, key: str) -> None:
    """Make calls that are refused, with personal data wherever a call has room for it."""
    client = owner.client
    headers = {"x-request-id": SECRET_ID}
    async with running.client(f"{owner.tokens['access_token']}x") as stranger, running.client(key) as program:
        refused = [
            await stranger.get(f"/collections/{SUBJECT}"),
            await program.delete(f"/collections/default/subjects/{SUBJECT}"),
            await client.post("/auth/token", data={"username": owner.email, "password": WRONG_PASSWORD}),
            await client.post("/auth/signup", json={"tenant": NAME, "email": owner.email, "password": WRONG_PASSWORD}),
            await client.get(f"/collections/{QUERY}/subjects/{SUBJECT}"),
            await client.get(f"/{SUBJECT}?name={NAME}"),
            await client.request(SUBJECT.upper(), "/collections"),
            await client.post("/collections/default/subjects", json={"subject": SUBJECT, NAME: NAME}),
            await owner.send("/recognize", NAME.encode(), collection="default"),
            await owner.register(SUBJECT, pictures.group(1, 2), name=NAME),
            await client.put(f"/albums/{QUERY}/photos/{PHOTO}", files={"image": (PHOTO, b"x", "image/jpeg")}),
        ]
    assert [answer.status_code for answer in refused if not 400 <= answer.status_code < 500] == []
    assert (await client.get(f"/collections/{QUERY}", headers=headers)).status_code == 404


async def test_nothing_names_anybody(traced: Running, collector: Collector, receiver: Receiver) -> None:
    async with AsyncExitStack() as stack:
        with logged() as lines:
            owner = await sign_up_at(traced, stack)
            secrets = await use_everything(owner, receiver, traced)
            with root_span("last", SpanKind.SERVER):
                pass
        async with asyncio.timeout(30):
            while not collector.named("last") or len(receiver.accepted) < 5:
                await asyncio.sleep(0.05)
        base = str(owner.client.base_url).removesuffix("/api/v1/")
        metrics = await owner.client.get(f"{base}/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"})
        assert metrics.status_code == 200
        names = {span.name for span in collector.spans}
        assert names >= {"POST /api/v1/register", "POST /api/v1/recognize", "album photo", "webhook delivery", "search"}
        assert len(lines) > 20
        tenant = {"tenant": str(owner.tenant_id), "request id": SECRET_ID}
        assert find(collector.text, secrets | tenant) == []
        assert find(metrics.text, secrets | tenant) == []
        assert find("\n".join(lines), secrets) == []


async def test_the_search_finds_what_is_planted(traced: Running, collector: Collector) -> None:
    with logged() as lines, root_span("planted", SpanKind.SERVER) as span:
        assert span is not None
        span.set("person", SUBJECT)
        get_logger("test").warning("planted", person=NAME)
    async with asyncio.timeout(30):
        while not collector.named("planted"):
            await asyncio.sleep(0.05)
    secrets: dict[str, Any] = {"subject": SUBJECT, "name": NAME, "title": TITLE}
    assert find(collector.text, secrets) == ["subject"]
    assert find("\n".join(lines), secrets) == ["name"]
    assert json.loads(lines[0])["trace_id"] == collector.named("planted")[0].trace_id
