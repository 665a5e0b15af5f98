"""Turns of webhooks: nothing is lost, out of order or tried without end, whatever happens meanwhile."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.repositories.webhook_deliveries import find_due_webhooks
from app.services.webhooks.slots import TurnSlots
from tests.api.conftest import Account, Running, problem
from tests.api.test_webhooks import create, delivering, disabled, owner, receiver, until
from tests.receivers import Receiver

__all__ = ["delivering", "owner", "receiver"]


async def add_subject(account: Account, subject: str, *, changes: int = 0) -> None:
    """Create a subject and change it so often."""
    await account.client.post("/collections/default/subjects", json={"subject": subject})
    for number in range(changes):
        path = f"/collections/default/subjects/{subject}"
        (await account.client.patch(path, json={"name": f"name {number}"})).raise_for_status()


async def write(database: Database, account: Account, statement: str, **values: Any) -> None:
    async with database.transaction(account.tenant_id) as session:
        await session.execute(text(statement), values)


async def count_turns(database: Database, account: Account) -> int:
    async with database.transaction(account.tenant_id) as session:
        turn = await session.scalar(text("SELECT turn FROM webhooks WHERE tenant_id = :id"), {"id": account.tenant_id})
        return int(turn or 0)


async def stays_idle(database: Database, account: Account) -> bool:
    """Return whether the account's webhook gets no turn, although events wait for it."""
    async with asyncio.timeout(30):
        while account.tenant_id in {tenant for tenant, _ in await find_due_webhooks(database)}:
            await asyncio.sleep(0.1)
    before = await count_turns(database, account)
    await asyncio.sleep(2.5)  # two sweeps
    return await count_turns(database, account) == before


async def test_a_webhook_that_is_gone_gets_no_turns(owner: Account, receiver: Receiver, database: Database) -> None:
    receiver.respond = lambda _: 410
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    await add_subject(owner, "ada", changes=2)
    await disabled(owner, path)
    assert await stays_idle(database, owner)


async def test_a_webhook_that_pauses_gets_no_turns(owner: Account, receiver: Receiver, database: Database) -> None:
    receiver.respond = lambda _: 503
    receiver.headers = {"retry-after": "3600"}
    await create(owner, receiver)
    for subject in ("ada", "bob"):
        await add_subject(owner, subject, changes=1)
    await until(lambda: bool(receiver.messages))
    assert await stays_idle(database, owner)
    tried = len(receiver.messages)
    await add_subject(owner, "eve")
    await asyncio.sleep(1.5)
    assert len(receiver.messages) == tried  # a receiver that asks for a pause gets one


async def test_what_waits_for_an_earlier_event_gets_no_turns(
    owner: Account, receiver: Receiver, database: Database
) -> None:
    await create(owner, receiver, types=["subject.updated"])
    receiver.respond = lambda _: 500
    await add_subject(owner, "ada", changes=1)
    await until(lambda: bool(receiver.messages))
    postpone = "UPDATE webhook_deliveries SET due_at = now() + interval '4 hours' WHERE tenant_id = :tenant"
    await write(database, owner, postpone, tenant=owner.tenant_id)
    receiver.respond = lambda _: 200
    await write(database, owner, "UPDATE webhooks SET failing_since = NULL WHERE tenant_id = :id", id=owner.tenant_id)
    await owner.client.patch("/collections/default/subjects/ada", json={"name": "late"})
    await add_subject(owner, "bob", changes=1)
    await until(lambda: len(receiver.accepted) == 1)
    assert json.loads(receiver.accepted[0].body)["data"]["subject"] == "bob"
    assert await stays_idle(database, owner)
    retry = """UPDATE webhook_deliveries SET due_at = now() WHERE tenant_id = :id AND state = 'waiting'
               AND seq = (SELECT min(seq) FROM webhook_deliveries WHERE tenant_id = :id AND state = 'waiting')"""
    await write(database, owner, retry, id=owner.tenant_id)
    await until(lambda: len(receiver.accepted) == 3)  # the later one follows at once
    seqs = [json.loads(one.body)["seq"] for one in receiver.accepted[1:]]
    assert seqs == sorted(seqs)


async def test_an_unreadable_secret_sends_nothing_and_can_be_replaced(
    owner: Account, receiver: Receiver, database: Database
) -> None:
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    await write(database, owner, "UPDATE webhooks SET key_id = 'gone' WHERE tenant_id = :id", id=owner.tenant_id)
    assert problem(await owner.client.post(f"{path}/test")) == "503 not_ready"
    await add_subject(owner, "ada")
    assert await stays_idle(database, owner)
    assert receiver.messages == []
    assert (await owner.client.get(path)).json()["failing_since"] is not None
    await owner.client.post(f"{path}/rotate-secret")
    await until(lambda: len(receiver.accepted) == 1)


async def test_an_erasure_arrives_after_what_was_on_its_way(owner: Account, receiver: Receiver) -> None:
    await create(owner, receiver)
    receiver.delay_s = 1.0
    await add_subject(owner, "ada")
    await until(lambda: receiver.begun == 1)
    receiver.delay_s = 0.0
    await owner.client.delete("/collections/default/subjects/ada")
    await until(lambda: len(receiver.accepted) == 2)
    kinds = [json.loads(one.body)["type"] for one in receiver.accepted]
    assert kinds == ["subject.created", "subject.deleted"]


async def test_an_erased_collection_leaves_only_that_it_was(owner: Account, receiver: Receiver) -> None:
    await owner.client.post("/collections", json={"name": "team"})
    await owner.client.post("/collections/team/subjects", json={"subject": "ada"})
    await owner.client.delete("/collections/team")
    found = (await owner.client.get("/events")).json()["items"]
    assert [one["type"] for one in found if one["data"]["collection"] == "team"] == ["collection.deleted"]


async def test_a_replay_sends_again_what_is_on_its_way(owner: Account, receiver: Receiver) -> None:
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    receiver.delay_s = 1.0
    await add_subject(owner, "ada")
    await until(lambda: receiver.begun == 1)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert (await owner.client.post(f"{path}/replay", json={"since": since})).json() == {"events": 1}
    await until(lambda: len(receiver.accepted) == 2)
    assert len({one.headers["webhook-id"] for one in receiver.accepted}) == 1


async def test_old_events_that_are_replayed_are_tried_more_than_once(
    owner: Account, receiver: Receiver, database: Database
) -> None:
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    await add_subject(owner, "ada")
    await until(lambda: len(receiver.accepted) == 1)
    aged = "UPDATE events SET at = at - interval '3 days 1 hour' WHERE tenant_id = :id"
    await write(database, owner, aged, id=owner.tenant_id)
    receiver.respond = lambda number: 500 if number == 1 else 200
    since = (datetime.now(UTC) - timedelta(days=5)).isoformat()
    await owner.client.post(f"{path}/replay", json={"since": since})
    await until(lambda: len(receiver.accepted) == 2)


async def test_changes_of_webhooks_and_of_people_wait_for_each_other_without_an_end(
    owner: Account, receiver: Receiver
) -> None:
    """A change of a webhook, an attempt and an erasure lock the same rows; none of them may fail."""
    receiver.respond = lambda number: 500 if number % 2 else 200
    path = f"/webhooks/{(await create(owner, receiver))['webhook_id']}"
    since = datetime.now(UTC).isoformat()

    async def live(subject: str) -> list[int]:
        base = "/collections/default/subjects"
        answers = []
        for _ in range(3):
            answers.append(await owner.client.post(base, json={"subject": subject}))
            answers.append(await owner.client.patch(f"{base}/{subject}", json={"name": "a"}))
            answers.append(await owner.client.delete(f"{base}/{subject}"))
        return [answer.status_code for answer in answers]

    async def manage() -> list[int]:
        answers = []
        for number in range(6):
            answers.append(await owner.client.patch(path, json={"is_enabled": bool(number % 2)}))
            answers.append(await owner.client.post(f"{path}/rotate-secret"))
            answers.append(await owner.client.post(f"{path}/replay", json={"since": since}))
        return [answer.status_code for answer in answers]

    rounds = await asyncio.gather(*(live(f"person-{number}") for number in range(8)), manage())
    assert {status for one in rounds for status in one} <= {200, 201, 204}


async def test_events_of_before_a_restored_backup_are_noticed(owner: Account) -> None:
    await add_subject(owner, "ada")
    page = (await owner.client.get("/events", params={"after": 1000})).json()
    assert (page["items"], page["is_complete"]) == ([], False)
    following = (await owner.client.get("/events", params={"after": page["last_seq"]})).json()
    assert following["is_complete"]


async def test_a_filter_does_not_look_at_the_same_events_again(owner: Account) -> None:
    await add_subject(owner, "ada", changes=3)
    chosen = (await owner.client.get("/events", params={"types": "key.created"})).json()
    everything = (await owner.client.get("/events")).json()
    assert chosen["items"] == []
    assert chosen["last_seq"] == everything["last_seq"] == everything["items"][-1]["seq"]


async def test_a_limited_key_does_not_learn_where_a_subject_went(owner: Account, delivering: Running) -> None:
    for name in ("open", "closed"):
        await owner.client.post("/collections", json={"name": name})
    await owner.client.post("/collections/open/subjects", json={"subject": "ada"})
    moved = await owner.client.post("/collections/open/subjects/ada/move", json={"collection": "closed"})
    moved.raise_for_status()
    key = {"name": "reader", "scopes": ["register"], "collections": ["open"]}
    async with delivering.client((await owner.client.post("/keys", json=key)).json()["key"]) as client:
        found = (await client.get("/events", params={"types": "subject.deleted"})).json()["items"]
    assert [one["data"] for one in found] == [{"collection": "open", "subject": "ada"}]
    (full,) = (await owner.client.get("/events", params={"types": "subject.deleted"})).json()["items"]
    assert full["data"]["became_collection"] == "closed"


def test_a_tenant_and_slow_receivers_leave_turns_to_others() -> None:
    slots, slow = TurnSlots(8), [(uuid4(), uuid4()) for _ in range(5)]
    for _, webhook in slow:
        slots.note_time(webhook, 14.0)
    tenant = UUID(int=1)
    with slots.enter(tenant, uuid4()) as first, slots.enter(tenant, uuid4()) as second:
        assert first
        assert second
        with slots.enter(tenant, uuid4()) as third:
            assert not third
    entered = [slots.enter(*one) for one in slow]
    assert [one.__enter__() for one in entered] == [True] * 4 + [False]
    with slots.enter(uuid4(), uuid4()) as quick:
        assert quick
    for one in entered:
        one.__exit__(None, None, None)
    slots.note_time(slow[4][1], 0.1)
    with slots.enter(*slow[4]) as again:
        assert again


@pytest.mark.parametrize(
    "values",
    [
        {"url": "https://hooks.example.com/\0"},
        {"url": "https://hooks.example.com/\ud800"},
        {"url": "https://hooks.example.com:0/"},
        {"url": "https://hooks.example.com:99999/"},
        {"url": "https://xn--a/"},
        {"url": "https://[fe80::1%25lo]/"},
        {"url": "https://hooks.example.com", "description": "a\0b"},
        {"url": "https://hooks.example.com", "description": "a" * 50_000},
        {"url": "https://hooks.example.com", "types": ["subject.created"] * 60},
        {"url": "https://hooks.example.com", "types": ["subject.lost"]},
        {"url": "https://hooks.example.com", "collections": ["a\0"]},
        {"url": "https://hooks.example.com", "collections": [str(number) for number in range(200)]},
        {"url": ["https://hooks.example.com"]},
        {},
    ],
)
async def test_whatever_is_sent_is_answered(owner: Account, values: dict[str, Any]) -> None:
    body = json.dumps(values).encode()
    answer = await owner.client.post("/webhooks", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {201, 400, 422}, answer.text
    if answer.status_code == 201:
        path = f"/webhooks/{answer.json()['webhook_id']}"
        sent = await owner.client.post(f"{path}/test")
        assert (sent.status_code, sent.json()["is_delivered"]) == (200, False)
    for since in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59", "-1", "2026-13-01T00:00:00Z"):
        replayed = await owner.client.post(f"/webhooks/{uuid4()}/replay", json={"since": since})
        assert replayed.status_code in {404, 422}, replayed.text
    for params in ({"after": 2**63}, {"after": "x"}, {"limit": 0}, {"types": "a\0"}, {"types": ["key.created"] * 60}):
        assert (await owner.client.get("/events", params=params)).status_code == 422
