"""Webhooks: every event arrives, signed and in order, at receivers that may be called, and at no other."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from app.domain.events import StoredEvent
from app.errors import WebhookUrlNotAllowed
from app.permissions import Scope
from app.persistence.connections.database import Database
from app.services.webhooks.sending import WebhookHosts, WebhookSender
from app.settings import Settings
from tests import pictures
from tests.api.conftest import Account, Running, problem, sign_up_at, start
from tests.receivers import Message, Receiver, receiving


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def delivering(settings: Settings, receiver: Receiver) -> AsyncIterator[Running]:
    """An app that delivers events, and may call the receiver."""
    async with AsyncExitStack() as stack:
        app = await start(settings.model_copy(update={"webhook_internal_hosts": [receiver.url]}), stack)
        await stack.enter_async_context(app.state.webhook_worker.running())
        yield app


@pytest.fixture
async def owner(delivering: Running, receiver: Receiver) -> AsyncIterator[Account]:
    receiver.respond, receiver.headers, receiver.delay_s = (lambda _: 200), {}, 0.0
    receiver.messages.clear()
    receiver.begun = 0
    async with AsyncExitStack() as stack:
        yield await sign_up_at(delivering, stack)


async def create(account: Account, receiver: Receiver, **values: Any) -> dict[str, Any]:
    answer = await account.client.post("/webhooks", json={"url": f"{receiver.url}/hook", **values})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


async def disabled(account: Account, path: str) -> dict[str, Any]:
    """Return a webhook when it is sent nothing more."""
    async with asyncio.timeout(30):
        while True:
            webhook: dict[str, Any] = (await account.client.get(path)).json()
            if not webhook["is_enabled"]:
                return webhook
            await asyncio.sleep(0.1)


def verify(message: Message, secret: str) -> dict[str, Any]:
    """Verify a message as a receiver does, by the library of Standard Webhooks."""
    verified: dict[str, Any] = Verifier(secret).verify(message.body, message.headers)
    return verified


async def test_events_arrive_signed(owner: Account, receiver: Receiver) -> None:
    secret = (await create(owner, receiver))["secret"]
    await owner.register("ada", pictures.photo(1), name="Ada Acker")
    await until(lambda: len(receiver.accepted) == 2)
    first, second = (verify(message, secret) for message in receiver.accepted)
    assert [first["type"], second["type"]] == ["subject.created", "face.registered"]
    assert first["data"] == {"collection": "default", "subject": "ada"}
    assert b"Acker" not in receiver.accepted[1].body
    listed = (await owner.client.get("/events")).json()["items"]
    known = {"evt_" + UUID(one["id"]).hex for one in listed}
    assert {message.headers["webhook-id"] for message in receiver.accepted} <= known


async def test_only_wanted_events_are_sent(owner: Account, receiver: Receiver) -> None:
    await create(owner, receiver, types=["subject.deleted"], collections=["default"])
    await owner.client.post("/collections", json={"name": "other"})
    for collection in ("other", "default"):
        await owner.client.post(f"/collections/{collection}/subjects", json={"subject": "ada"})
        await owner.client.delete(f"/collections/{collection}/subjects/ada")
    await until(lambda: len(receiver.accepted) == 1)
    await asyncio.sleep(0.3)
    (message,) = receiver.accepted
    assert json.loads(message.body)["data"] == {"collection": "default", "subject": "ada"}


async def test_what_fails_is_repeated_in_the_order_of_each_subject(owner: Account, receiver: Receiver) -> None:
    receiver.respond = lambda number: 500 if number % 2 == 0 else 200
    secret = (await create(owner, receiver))["secret"]
    for subject in ("ada", "bob", "eve"):
        await owner.client.post("/collections/default/subjects", json={"subject": subject})
    for name in ("one", "two"):
        for subject in ("ada", "bob", "eve"):
            await owner.client.patch(f"/collections/default/subjects/{subject}", json={"name": name})
    await until(lambda: len({one.headers["webhook-id"] for one in receiver.accepted}) == 9)
    seqs: dict[str, list[int]] = {}
    for message in receiver.accepted:
        body = verify(message, secret)
        seqs.setdefault(body["data"]["subject"], []).append(body["seq"])
    assert all(numbers == sorted(numbers) for numbers in seqs.values())
    async with asyncio.timeout(30):  # the last answer is written down after the receiver has given it
        while (await owner.client.get("/webhooks")).json()["items"][0]["failing_since"] is not None:
            await asyncio.sleep(0.05)


async def test_during_a_rotation_both_secrets_verify(owner: Account, receiver: Receiver) -> None:
    created = await create(owner, receiver)
    path = f"/webhooks/{created['webhook_id']}"
    rotated = (await owner.client.post(f"{path}/rotate-secret")).json()
    assert rotated["secret"] != created["secret"]
    await owner.client.post("/collections", json={"name": "other"})
    await until(lambda: bool(receiver.accepted))
    for secret in (created["secret"], rotated["secret"]):
        assert verify(receiver.accepted[0], secret)["type"] == "collection.created"
    assert "secret" not in (await owner.client.get(path)).json()


async def test_a_receiver_that_is_gone_is_told_nothing_more(owner: Account, receiver: Receiver) -> None:
    receiver.respond = lambda _: 410
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    await owner.client.post("/collections", json={"name": "one"})
    await until(lambda: bool(receiver.messages))
    assert (await disabled(owner, path))["disabled_because"] == "gone"
    told = (await owner.client.get("/events", params={"types": "webhook.disabled"})).json()["items"]
    assert [one["data"]["because"] for one in told] == ["gone"]
    actions = (await owner.client.get("/audit", params={"action": "webhook.disabled"})).json()["items"]
    assert len(actions) == 1
    receiver.respond = lambda _: 200
    await owner.client.patch(path, json={"is_enabled": True})
    await until(lambda: bool(receiver.accepted))
    assert json.loads(receiver.accepted[0].body)["data"]["collection"] == "one"


async def test_a_webhook_that_failed_for_days_is_disabled(
    owner: Account, receiver: Receiver, database: Database
) -> None:
    receiver.respond = lambda _: 500
    webhook_id = (await create(owner, receiver))["webhook_id"]
    async with database.transaction(owner.tenant_id) as session:
        since = datetime.now(UTC) - timedelta(days=3, minutes=1)
        statement = "UPDATE webhooks SET failing_since = :since, resume_at = now() WHERE id = :id"
        await session.execute(text(statement), {"since": since, "id": webhook_id})
    await owner.client.post("/collections", json={"name": "one"})
    assert (await disabled(owner, f"/webhooks/{webhook_id}"))["disabled_because"] == "failing"


async def test_deliveries_say_what_happened(owner: Account, receiver: Receiver) -> None:
    receiver.respond = lambda number: 503 if number == 0 else 204
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    await owner.client.post("/collections", json={"name": "one"})
    await until(lambda: len(receiver.messages) == 2)
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while not found:
            found = (await owner.client.get(f"{path}/deliveries", params={"state": "delivered"})).json()["items"]
    assert (found[0]["attempts"], found[0]["status"], found[0]["due_at"]) == (2, 204, None)
    assert found[0]["event"]["type"] == "collection.created"


async def test_events_are_replayed_since_a_time(owner: Account, receiver: Receiver) -> None:
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    for name in ("one", "two"):
        await owner.client.post("/collections", json={"name": name})
    await until(lambda: len(receiver.accepted) == 2)
    events = (await owner.client.get("/events")).json()["items"]
    replayed = await owner.client.post(f"{path}/replay", json={"since": events[1]["timestamp"]})
    assert replayed.json() == {"events": 1}
    await until(lambda: len(receiver.accepted) == 3)
    ids = [message.headers["webhook-id"] for message in receiver.accepted]
    assert ids[2] == ids[1] != ids[0]


async def test_a_test_message_is_sent_at_once(owner: Account, receiver: Receiver) -> None:
    created = await create(owner, receiver)
    answer = await owner.client.post(f"/webhooks/{created['webhook_id']}/test")
    assert answer.json() == {"is_delivered": True, "status": 200, "error": None}
    assert verify(receiver.accepted[0], created["secret"])["type"] == "webhook.test"
    receiver.respond = lambda _: 302
    receiver.headers = {"location": "http://127.0.0.1:1/"}
    answer = await owner.client.post(f"/webhooks/{created['webhook_id']}/test")
    assert answer.json() == {"is_delivered": False, "status": 302, "error": None}
    assert len(receiver.messages) == 2


async def test_a_deleted_webhook_is_sent_nothing(owner: Account, receiver: Receiver) -> None:
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    assert (await owner.client.delete(path)).status_code == 204
    assert problem(await owner.client.get(path)) == "404 webhook_not_found"
    await owner.client.post("/collections", json={"name": "one"})
    await asyncio.sleep(0.5)
    assert receiver.messages == []


async def test_another_tenants_webhook_does_not_exist(owner: Account, receiver: Receiver, delivering: Running) -> None:
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    async with AsyncExitStack() as stack:
        other = await sign_up_at(delivering, stack)
        for method, suffix, body in (
            ("GET", "", None),
            ("PATCH", "", {"is_enabled": False}),
            ("DELETE", "", None),
            ("POST", "/rotate-secret", None),
            ("POST", "/test", None),
            ("GET", "/deliveries", None),
            ("POST", "/replay", {"since": "2026-01-01T00:00:00Z"}),
        ):
            answer = await other.client.request(method, path + suffix, json=body)
            assert problem(answer) == "404 webhook_not_found"
        await other.client.post("/collections", json={"name": "one"})
    await asyncio.sleep(0.3)
    assert receiver.messages == []


async def test_there_is_a_maximum(owner: Account, receiver: Receiver) -> None:
    for _ in range(20):
        await create(owner, receiver)
    answer = await owner.client.post("/webhooks", json={"url": f"{receiver.url}/hook"})
    assert problem(answer) == "409 too_many_webhooks"


async def test_keys_need_the_scope_admin(owner: Account, delivering: Running) -> None:
    key = {"name": "a", "scopes": [Scope.REGISTER.value]}
    async with delivering.client((await owner.client.post("/keys", json=key)).json()["key"]) as client:
        assert problem(await client.get("/webhooks")) == "403 permission_denied"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://017700000001/",
        "https://0.0.0.0/",
        "https://user:secret@hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://hooks.example.com\\@127.0.0.1/",
        "javascript:alert(1)",
        "https://" + "a" * 5000,
    ],
)
async def test_what_is_not_public_is_refused(owner: Account, url: str) -> None:
    answer = await owner.client.post("/webhooks", json={"url": url})
    assert problem(answer) in ("422 webhook_url_not_allowed", "422 invalid_parameter"), answer.text


async def test_a_name_of_an_internal_address_is_called_by_nobody(receiver: Receiver) -> None:
    """The name resolves to this machine, as a rebound one would: nothing is sent, whatever the port."""
    receiver.messages.clear()
    sender = WebhookSender(WebhookHosts([]))
    port = receiver.url.rpartition(":")[2]
    event = StoredEvent(1, UUID(int=1), datetime.now(UTC), "webhook.test", {})
    for host in ("localhost", "ip6-localhost", "localhost."):
        outcome = await sender.send(f"https://{host}:{port}/", ["whsec_" + "A" * 32], event)
        assert (outcome.is_delivered, outcome.error) in ((False, "address_not_allowed"), (False, "host_unknown"))
    await sender.close()
    assert receiver.messages == []
    with pytest.raises(WebhookUrlNotAllowed):
        WebhookHosts([]).check("https://127.0.0.1/")
