"""The commands that meet the duties: usage, audit, retention, templates, receipts."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text

from app.domain.tenancy import UsageCount, UsageKey
from app.persistence.connections.database import Database
from app.persistence.repositories.audit import AuditRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.persistence.repositories.usage_days import add_usage
from app.security.audit_chain import SealedEntry
from app.security.receipts import SignedReceipt
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.erasure.receipts import ReceiptSigner
from tests.cli.test_commands import Run, vultus
from tests.integration.conftest import FACE, KEYRING, PROTECTOR, make_tenant

SECRET = {"VULTUS_SECRET_KEY": "a secret for tests only, 32 bytes or more"}
__all__ = ["vultus"]


@pytest.fixture
async def tenant(database: Database) -> tuple[UUID, SealedEntry]:
    """A tenant with two people, one of whom expired, and the last entry of its trail."""
    tenant_id, collection_id = await make_tenant(database)
    async with database.transaction(tenant_id) as session:
        for name, expires_at in (("ada", None), ("bob", datetime.now(UTC) + timedelta(days=1))):
            subjects = SubjectRepository(session, tenant_id)
            subject_id = await subjects.upsert(collection_id, name, None, None, expires_at)
            await TemplateStore(session, tenant_id, PROTECTOR).add_all(
                [NewFace.of(subject_id, FACE, {"r": np.eye(1, 512, dtype=np.float32)[0]})],
                collection_id=collection_id,
                source="test",
            )
        trail = AuditTrail(AuditRepository(session, tenant_id), KEYRING, "user:1")
        for _ in range(4):
            last = await trail.record(AuditAction.FACES_REGISTERED, trail.subject_target("default", "ada"), faces=1)
    return tenant_id, last


async def run(vultus: Run, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(vultus, *arguments, **SECRET)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


async def test_the_trail_is_verified_and_what_is_wrong_is_named(
    vultus: Run, tenant: tuple[UUID, SealedEntry], database: Database
) -> None:
    tenant_id, last = tenant
    own = ("--tenant", str(tenant_id), "--json")
    noted = f"{last.entry.seq}:{last.seal.hex()}"
    code, out = await run(vultus, "audit", "verify", *own, "--expect", noted)
    assert (code, json.loads(out)["flaws"]) == (0, [])
    assert json.loads(out)["trails"][0]["seal"] == last.seal.hex()
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("RESET ROLE"))
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        await session.execute(text("DELETE FROM audit_entries WHERE tenant_id = :t AND seq = 2"), {"t": tenant_id})
    code, out = await run(vultus, "audit", "verify", *own)
    assert code == 1
    assert [(flaw["entry"], flaw["flaw"]) for flaw in json.loads(out)["flaws"]] == [("2", "missing")]
    assert (await run(vultus, "audit", "verify", "--expect", noted))[0] == 2
    assert (await run(vultus, "audit", "verify", *own, "--expect", "nonsense"))[0] == 2


async def test_a_sweep_erases_whose_time_is_over(
    vultus: Run, tenant: tuple[UUID, SealedEntry], database: Database
) -> None:
    # Only now: a server that sweeps, elsewhere in these tests, must not come before.
    async with database.transaction(tenant[0]) as session:
        over = text("UPDATE subjects SET expires_at = :then WHERE subject = 'bob'")
        await session.execute(over, {"then": datetime.now(UTC) - timedelta(days=1)})
    code, out = await run(vultus, "retention", "sweep")
    assert code == 0
    assert "Erased" in out
    async with database.transaction(tenant[0]) as session:
        assert list(await session.scalars(text("SELECT subject FROM subjects"))) == ["ada"]


async def test_templates_are_rotated(vultus: Run, tenant: tuple[UUID, SealedEntry], database: Database) -> None:
    async def stored() -> list[str]:
        async with database.transaction(tenant[0]) as session:
            return list(await session.scalars(text("SELECT embedding::text FROM templates ORDER BY seq")))

    before = await stored()
    code, out = await run(vultus, "templates", "rotate", "--tenant", str(tenant[0]))
    assert code == 0
    assert "2" in out
    after = await stored()
    assert len(after) == 2
    assert not set(before) & set(after)


async def test_usage_is_shown(vultus: Run, tenant: tuple[UUID, SealedEntry], database: Database) -> None:
    day = datetime.now(UTC).date()
    await add_usage(database, tenant[0], {UsageKey(day, "recognize", "key:1"): UsageCount(3, 5)})
    code, out = await run(vultus, "usage", "--tenant", str(tenant[0]), "--json")
    assert code == 0
    assert [(row["operation"], row["calls"], row["images"]) for row in json.loads(out)] == [("recognize", "3", "5")]
    code, out = await run(vultus, "usage", "--tenant", str(tenant[0]), "--before", "2020-01-01", "--json")
    assert json.loads(out) == []


async def test_a_receipt_is_verified(vultus: Run, tenant: tuple[UUID, SealedEntry], tmp_path: Path) -> None:
    signed = ReceiptSigner(KEYRING).sign(tenant[1])
    answer: dict[str, Any] = {
        "receipt": dict(signed.receipt),
        "public_key": signed.public_key,
        "signature": signed.signature,
    }
    assert SignedReceipt(**answer) == signed
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(answer))
    assert await run(vultus, "receipts", "verify", str(file)) == (0, "Genuine.\n")
    answer["receipt"]["faces"] = 7
    file.write_text(json.dumps(answer))
    assert (await run(vultus, "receipts", "verify", str(file)))[0] == 1
    file.write_text("[]")
    assert (await run(vultus, "receipts", "verify", str(file)))[0] == 1
