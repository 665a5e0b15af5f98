"""Whose time is over is erased: by their own date, by the tenant's retention; nobody else is."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text

from app.domain.tenancy import Policy
from app.persistence.connections.database import Database
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.tenants import find_tenants_with_expired
from app.services.audit.trail import AuditTrails
from app.services.erasure.retention import RetentionSweep
from tests.integration.conftest import KEYRING, Shelf, random_embeddings

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class FrozenClock:
    """A clock that a test turns on."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
async def people(shelf: Shelf) -> Shelf:
    """Five people; p0 was changed on the first day, p1 a day later, and so on."""
    faces = random_embeddings(np.random.default_rng(0), 5)
    await shelf.put(*((f"p{index}", face) for index, face in enumerate(faces)))
    for index in range(5):
        await set_times(shelf, f"p{index}", updated_at=START + index * DAY)
    return shelf


async def set_times(shelf: Shelf, subject: str, **times: datetime | None) -> None:
    columns = ", ".join(f"{name} = :{name}" for name in times)
    async with shelf.database.transaction(shelf.tenant_id) as session:
        await session.execute(text(f"UPDATE subjects SET {columns} WHERE subject = :s"), {"s": subject, **times})


async def set_policy(shelf: Shelf, retention_days: int | None) -> None:
    async with shelf.database.transaction(shelf.tenant_id) as session:
        await PolicyRepository(session, shelf.tenant_id).save(Policy(retention_days=retention_days))


async def left(shelf: Shelf) -> list[str]:
    async with shelf.database.transaction(shelf.tenant_id) as session:
        return list(await session.scalars(text("SELECT subject FROM subjects ORDER BY subject")))


async def sweep(shelf: Shelf, clock: FrozenClock) -> int:
    before = set(await left(shelf))
    await RetentionSweep(shelf.database, AuditTrails(KEYRING), clock=clock).run()
    return len(before) - len(await left(shelf))


async def test_without_a_policy_and_a_date_people_stay_for_ever(people: Shelf, clock: FrozenClock) -> None:
    clock.now = START + 100_000 * DAY
    assert await sweep(people, clock) == 0


async def test_a_persons_own_date(people: Shelf, clock: FrozenClock) -> None:
    await set_times(people, "p2", expires_at=START + 10 * DAY, updated_at=START)
    clock.now = START + 10 * DAY - timedelta(microseconds=1)
    assert await sweep(people, clock) == 0
    clock.now = START + 10 * DAY
    assert await sweep(people, clock) == 1
    assert await left(people) == ["p0", "p1", "p3", "p4"]


async def test_the_tenants_retention_counts_from_the_last_change(people: Shelf, clock: FrozenClock) -> None:
    await set_policy(people, 30)
    clock.now = START + 30 * DAY - timedelta(microseconds=1)
    assert await sweep(people, clock) == 0
    clock.now = START + 31 * DAY
    assert await sweep(people, clock) == 2
    assert await left(people) == ["p2", "p3", "p4"]
    await people.put(("p2", people.stored[2].embedding))  # registered again: the time begins anew
    clock.now = START + 33 * DAY
    assert await sweep(people, clock) == 1
    assert await left(people) == ["p2", "p4"]


async def test_the_earlier_of_both_counts(people: Shelf, clock: FrozenClock) -> None:
    await set_policy(people, 30)
    await set_times(people, "p0", expires_at=START + 300 * DAY, updated_at=START)
    await set_times(people, "p4", expires_at=START + 5 * DAY, updated_at=START + 4 * DAY)
    clock.now = START + 5 * DAY
    assert await sweep(people, clock) == 1
    assert "p4" not in await left(people)
    clock.now = START + 30 * DAY
    assert await sweep(people, clock) == 1
    assert "p0" not in await left(people)


async def test_a_retention_that_was_lifted_erases_nobody(people: Shelf, clock: FrozenClock) -> None:
    await set_policy(people, 1)
    await set_policy(people, None)
    clock.now = START + 1_000 * DAY
    assert await sweep(people, clock) == 0


async def test_faces_go_with_the_person_and_searches_know_at_once(people: Shelf, clock: FrozenClock) -> None:
    await set_times(people, "p2", expires_at=START, updated_at=START)
    probe = people.stored[2].embedding
    assert (await people.ranked(people.gallery(), [probe], 1))[0][0].subject == "p2"
    assert await sweep(people, clock) == 1
    assert (await people.ranked(people.gallery(), [probe], 1))[0][0].subject != "p2"


async def test_each_erasure_is_in_the_trail_with_its_reason(people: Shelf, clock: FrozenClock) -> None:
    await set_policy(people, 30)
    await set_times(people, "p1", expires_at=START + DAY, updated_at=START + DAY)
    clock.now = START + 30 * DAY
    await sweep(people, clock)
    async with people.database.transaction(people.tenant_id) as session:
        rows = await session.execute(text("SELECT actor, action, details FROM audit_entries ORDER BY seq"))
        reasons = sorted((row.actor, row.action, row.details["because"]) for row in rows)
    assert reasons == [("retention", "subject.erased", "expired"), ("retention", "subject.erased", "retention")]


async def test_the_service_learns_of_other_tenants_nothing_but_who_has_something_to_erase(
    people: Shelf, search_service: Database
) -> None:
    await set_times(people, "p0", expires_at=START, updated_at=START)
    assert people.tenant_id in await find_tenants_with_expired(search_service, START)
    assert people.tenant_id not in await find_tenants_with_expired(search_service, START - DAY)
    async with search_service.transaction() as session:
        assert await session.scalar(text("SELECT count(*) FROM subjects")) == 0


async def test_more_than_one_batch_is_erased_in_one_sweep(shelf: Shelf, clock: FrozenClock) -> None:
    (face,) = random_embeddings(np.random.default_rng(1), 1)
    await shelf.put(*((f"p{index:03}", face) for index in range(230)))
    ids: dict[str, UUID] = shelf.ids
    await set_policy(shelf, 1)
    clock.now = datetime.now(UTC) + 2 * DAY
    assert await sweep(shelf, clock) == len(ids) == 230
