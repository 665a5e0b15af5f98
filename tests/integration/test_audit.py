"""The audit trail: whoever can write to the database, but lacks the secret, is found out."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.persistence.connections.database import Database
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.tenants import TenantDirectory
from app.security.cursors import CursorSigner
from app.security.keyring import Keyring
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditService, AuditTrail
from app.services.audit.verification import AuditVerifier, FlawKind, Verdict
from app.services.paging import PageRequest
from tests.integration.conftest import KEYRING

ENTRIES = 12


@pytest.fixture
async def tenant_id(database: Database) -> UUID:
    tenant_id = uuid4()
    async with database.transaction(tenant_id) as session:
        await TenantDirectory(session).add(tenant_id, "tenant")
    for index in range(ENTRIES):
        async with database.transaction(tenant_id) as session:
            trail = AuditTrail(AuditRepository(session, tenant_id), KEYRING, "user:1")
            await trail.record(AuditAction.COLLECTION_CREATED, f"collection:{index}", names=["ä", "b"], count=index)
    return tenant_id


async def tamper(database: Database, statement: str, **values: object) -> None:
    """As somebody who owns the server."""
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("RESET ROLE"))
        await session.execute(text("SET LOCAL session_replication_role = replica"))  # no trigger stops them
        await session.execute(text(statement), values)


async def verify(
    database: Database, tenant_id: UUID, keyring: Keyring = KEYRING, expected: tuple[int, bytes] | None = None
) -> Verdict:
    async with database.transaction(tenant_id) as session:
        return await AuditVerifier(AuditRepository(session, tenant_id), keyring).verify(expected=expected)


def flaws(verdict: Verdict) -> list[tuple[int, FlawKind]]:
    return [(flaw.seq, flaw.kind) for flaw in verdict.flaws]


async def test_an_untouched_trail_has_no_flaw(database: Database, tenant_id: UUID) -> None:
    verdict = await verify(database, tenant_id)
    assert (verdict.entries, verdict.last_seq, verdict.flaws) == (ENTRIES, ENTRIES, [])
    assert flaws(await verify(database, tenant_id, expected=(verdict.last_seq, verdict.last_seal))) == []


@pytest.mark.parametrize(
    "change",
    [
        "action = 'user.removed'",
        "actor = 'user:2'",
        "target = NULL",
        "at = at + interval '1 microsecond'",
        "details = details || '{\"count\": 99}'",
        "request_id = 'another'",
        "seal = decode(repeat('00', 32), 'hex')",
    ],
)
async def test_an_altered_entry_is_named(database: Database, tenant_id: UUID, change: str) -> None:
    await tamper(database, f"UPDATE audit_entries SET {change} WHERE tenant_id = :t AND seq = 5", t=tenant_id)
    assert flaws(await verify(database, tenant_id)) == [(5, FlawKind.ALTERED)]


async def test_a_missing_entry_is_named(database: Database, tenant_id: UUID) -> None:
    await tamper(database, "DELETE FROM audit_entries WHERE tenant_id = :t AND seq IN (3, 12)", t=tenant_id)
    assert flaws(await verify(database, tenant_id)) == [(3, FlawKind.MISSING), (12, FlawKind.MISSING)]


async def test_two_swapped_entries_are_named(database: Database, tenant_id: UUID) -> None:
    swap = "UPDATE audit_entries SET seq = CASE seq WHEN 4 THEN -7 ELSE -4 END WHERE tenant_id = :t AND seq IN (4, 7)"
    await tamper(database, swap, t=tenant_id)
    await tamper(database, "UPDATE audit_entries SET seq = -seq WHERE tenant_id = :t AND seq < 0", t=tenant_id)
    verdict = await verify(database, tenant_id)
    assert flaws(verdict) == [(4, FlawKind.MOVED), (7, FlawKind.MOVED)]
    assert ["7" in flaw.detail for flaw in verdict.flaws] == [True, False]


async def test_an_entry_moved_into_a_gap_is_named(database: Database, tenant_id: UUID) -> None:
    await tamper(database, "DELETE FROM audit_entries WHERE tenant_id = :t AND seq = 4", t=tenant_id)
    await tamper(database, "UPDATE audit_entries SET seq = 4 WHERE tenant_id = :t AND seq = 9", t=tenant_id)
    assert flaws(await verify(database, tenant_id)) == [(4, FlawKind.MOVED), (9, FlawKind.MISSING)]


async def test_the_end_cut_off_with_its_note_shows_against_what_was_noted_elsewhere(
    database: Database, tenant_id: UUID
) -> None:
    noted = await verify(database, tenant_id)
    async with database.transaction(tenant_id) as session:
        kept = await AuditRepository(session, tenant_id).list_after(9, 1)
    await tamper(database, "DELETE FROM audit_entries WHERE tenant_id = :t AND seq > 10", t=tenant_id)
    await tamper(
        database, "UPDATE audit_heads SET seq = 10, seal = :seal WHERE tenant_id = :t", t=tenant_id, seal=kept[0].seal
    )
    assert flaws(await verify(database, tenant_id)) == []
    found = await verify(database, tenant_id, expected=(noted.last_seq, noted.last_seal))
    assert flaws(found) == [(ENTRIES, FlawKind.MISSING)]


async def test_without_the_secret_nobody_writes_an_entry(database: Database, tenant_id: UUID) -> None:
    forger = Keyring([b"a guess at the secret, thirty-two bytes or more"])
    async with database.transaction(tenant_id) as session:
        trail = AuditTrail(AuditRepository(session, tenant_id), forger, "user:1")
        await trail.record(AuditAction.SUBJECT_ERASED)
    assert flaws(await verify(database, tenant_id)) == [(ENTRIES + 1, FlawKind.UNKNOWN_KEY)]


async def test_entries_are_neither_changed_nor_deleted_and_leave_with_their_tenant(
    database: Database, tenant_id: UUID
) -> None:
    async def as_owner(statement: str) -> None:
        async with database.transaction(as_operator=True) as session:
            await session.execute(text("RESET ROLE"))
            await session.execute(text(statement), {"t": tenant_id})

    for statement in ("UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"):
        with pytest.raises(DBAPIError, match="neither changed nor deleted"):
            await as_owner(f"{statement} WHERE tenant_id = :t")
    async with database.transaction(as_operator=True) as session:
        assert await TenantDirectory(session).delete(tenant_id)
    async with database.transaction(as_operator=True) as session:
        left = await session.scalar(text("SELECT count(*) FROM audit_entries WHERE tenant_id = :t"), {"t": tenant_id})
    assert left == 0


async def test_a_rolled_back_change_leaves_no_entry_and_no_gap(database: Database, tenant_id: UUID) -> None:
    class Undone(Exception):
        pass

    async def change_and_fail() -> None:
        async with database.transaction(tenant_id) as session:
            await AuditTrail(AuditRepository(session, tenant_id), KEYRING, "user:1").record(AuditAction.USER_ADDED)
            raise Undone

    with pytest.raises(Undone):
        await change_and_fail()
    assert (await verify(database, tenant_id)).entries == ENTRIES
    async with database.transaction(tenant_id) as session:
        await AuditTrail(AuditRepository(session, tenant_id), KEYRING, "user:1").record(AuditAction.USER_ADDED)
    assert flaws(await verify(database, tenant_id)) == []


async def test_filtering_by_a_renamed_action_finds_entries_with_its_former_text(
    database: Database, tenant_id: UUID
) -> None:
    await tamper(
        database, "UPDATE audit_entries SET action = 'faces.given' WHERE tenant_id = :t AND seq = 3", t=tenant_id
    )
    async with database.transaction(tenant_id) as session:
        entries = AuditRepository(session, tenant_id)
        await AuditTrail(entries, KEYRING, "user:1").record(AuditAction.FACES_ASSIGNED)
        page = await AuditService(entries, KEYRING, CursorSigner(KEYRING)).list(
            PageRequest(), actions=[AuditAction.FACES_ASSIGNED]
        )
    assert [(item.entry.seq, item.entry.action) for item in page.items] == [
        (ENTRIES + 1, "faces.assigned"),
        (3, "faces.given"),
    ]
