"""Repositories: each sees one tenant only, and each twin asks as another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.permissions import Role
from app.persistence.connections.database import Database
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.hot_queries import HotQueries
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.tenants import TenantDirectory
from app.persistence.repositories.users import LoginDirectory, UserRepository


async def new_tenant(session: AsyncSession) -> UUID:
    tenant_id = uuid4()
    await TenantDirectory(session).add(tenant_id, "tenant")
    return tenant_id


@pytest.fixture
async def tenant(session: AsyncSession) -> UUID:
    return await new_tenant(session)


@pytest.fixture
async def stranger(session: AsyncSession) -> UUID:
    return await new_tenant(session)


async def test_a_collection_is_there_for_its_tenant_alone(session: AsyncSession, tenant: UUID, stranger: UUID) -> None:
    mine, theirs = CollectionRepository(session, tenant), CollectionRepository(session, stranger)
    assert await mine.add("visitors") is not None
    assert await mine.add("visitors") is None
    assert await mine.find("visitors") is not None
    assert await theirs.find("visitors") is None
    assert await theirs.find_row("visitors") is None
    assert await theirs.list_page(None, 10) == []
    assert not await theirs.delete("visitors")
    assert await theirs.add("visitors") is not None
    assert await mine.delete("visitors")


async def test_a_subject_is_there_for_its_tenant_alone(session: AsyncSession, tenant: UUID, stranger: UUID) -> None:
    await CollectionRepository(session, tenant).add("visitors")
    row = await CollectionRepository(session, tenant).find_row("visitors")
    assert row is not None
    mine, theirs = SubjectRepository(session, tenant), SubjectRepository(session, stranger)
    assert await mine.add(row.id, "ada", "Ada", {}) is not None
    assert await mine.add(row.id, "ada", "Ada", {}) is None
    assert (await mine.find(row.id, "ada")) is not None
    assert (await theirs.find(row.id, "ada")) is None
    assert await theirs.find_row(row.id, "ada") is None
    assert await theirs.list_by_ids(row.id, ["ada"]) == []
    assert not await theirs.delete(row.id, "ada")


async def test_ensuring_a_subject_keeps_what_is_not_given(session: AsyncSession, tenant: UUID) -> None:
    await CollectionRepository(session, tenant).add("visitors")
    row = await CollectionRepository(session, tenant).find_row("visitors")
    assert row is not None
    subjects = SubjectRepository(session, tenant)
    first = await subjects.upsert(row.id, "ada", "Ada", {"team": 7})
    assert await subjects.upsert(row.id, "ada", None, None) == first
    found = await subjects.find(row.id, "ada")
    assert found is not None
    assert (found.name, found.metadata) == ("Ada", {"team": 7})
    await subjects.upsert(row.id, "ada", "Ada Acker", {})
    found = await subjects.find(row.id, "ada")
    assert found is not None
    assert (found.name, found.metadata) == ("Ada Acker", {})


async def test_one_login_per_email_whatever_its_case(session: AsyncSession, tenant: UUID, stranger: UUID) -> None:
    email = f"Ada-{uuid4().hex}@Example.com"
    assert await UserRepository(session, tenant).add(email=email, password_hash="x", role="admin") is not None
    assert await UserRepository(session, stranger).add(email=email.upper(), password_hash="x", role="admin") is None
    login = await LoginDirectory(session).find(email.upper())
    assert login is not None
    assert login.tenant_id == tenant


async def test_a_session_ends_by_revoking_by_time_and_with_its_user(database: Database) -> None:
    """In transactions of their own: the brief questions enter their tenant by themselves."""
    tenant, stranger, email = uuid4(), uuid4(), f"{uuid4().hex}@example.com"
    async with database.transaction(as_operator=True) as session:
        for one in (tenant, stranger):
            await TenantDirectory(session).add(one, "tenant")

    @asynccontextmanager
    async def sessions(of: UUID) -> AsyncIterator[SessionRepository]:
        async with database.transaction(of) as session:
            yield SessionRepository(session, of)

    async with database.transaction(tenant) as session:
        user_id = await UserRepository(session, tenant).add(email=email, password_hash="x", role="viewer")
    assert user_id is not None
    later, earlier = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    async with sessions(tenant) as mine:
        live, expired = await mine.add(user_id, later), await mine.add(user_id, earlier)
    callers = HotQueries(database, tenant)
    principal = await callers.find_user(live, user_id)
    assert principal is not None
    assert (principal.role, principal.email, principal.plan.name) == (Role.VIEWER, email, "free")
    assert await HotQueries(database, stranger).find_user(live, user_id) is None
    assert await callers.find_user(expired, user_id) is None
    async with sessions(stranger) as theirs:
        await theirs.revoke(live)
        assert not await theirs.rotate(live, user_id, 0, later)
    assert await callers.find_user(live, user_id) is not None
    async with sessions(tenant) as mine:
        assert await mine.rotate(live, user_id, 0, later)
        assert not await mine.rotate(live, user_id, 0, later)
        assert not await mine.rotate(expired, user_id, 0, later)
        await mine.revoke(live)
        assert not await mine.rotate(live, user_id, 1, later)
    assert await callers.find_user(live, user_id) is None


async def test_users_hold_no_biometrics_and_templates_no_login(session: AsyncSession) -> None:
    rows = await session.execute(
        text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
    )
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table, set()).add(column)
    assert columns["users"] == {"tenant_id", "id", "created_at", "email", "password_hash", "role"}
    assert "embedding" in columns["templates"]
    assert not {"user_id", "email"} & (columns["templates"] | columns["subjects"])
