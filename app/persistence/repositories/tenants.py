"""Tenants and plans: the rows that belong to no tenant."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.tenancy import TenantRecord
from app.permissions import Plan
from app.persistence.connections.database import Database
from app.persistence.erasure_journal import ErasedKind, JournalEntry
from app.persistence.models import PlanModel, TenantModel, UsageModel
from app.persistence.repositories.base import note_erased, page_by_creation
from app.persistence.repositories.principals import describe_plan
from app.persistence.repositories.usage import UsageRepository

_TENANTS: Any = select(TenantModel, UsageModel.templates).join(UsageModel, TenantModel.id == UsageModel.tenant_id)


class TenantDirectory:
    """All tenants; only sign-up and the operator's commands use it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, tenant_id: UUID, name: str, plan: str = "free") -> None:
        """Create a tenant; the transaction's `tenant_id` must be that tenant."""
        self._session.add(TenantModel(id=tenant_id, name=name, plan=plan))
        await self._session.flush()
        await UsageRepository(self._session, tenant_id).add()

    async def find_by_name(self, name: str) -> list[UUID]:
        """Find the tenants with this name, oldest first; names need not be unique."""
        statement = select(TenantModel.id).where(TenantModel.name == name).order_by(TenantModel.created_at)
        return list(await self._session.scalars(statement))

    async def list_page(self, after: tuple[datetime, UUID] | None, limit: int) -> list[TenantRecord]:
        """List up to `limit` tenants after a time of creation and a tenant id, oldest first."""
        return await self._read(page_by_creation(_TENANTS, TenantModel, after, limit))

    async def find(self, tenant_id: UUID) -> TenantRecord | None:
        found = await self._read(_TENANTS.where(TenantModel.id == tenant_id))
        return found[0] if found else None

    async def _read(self, statement: Select[Any]) -> list[TenantRecord]:
        return [
            TenantRecord(row.id, row.name, row.plan, row.created_at, templates)
            for row, templates in await self._session.execute(statement)
        ]

    async def set_plan(self, tenant_id: UUID, plan: str) -> bool:
        """Set a tenant's plan; return False if there is no such tenant."""
        statement = update(TenantModel).where(TenantModel.id == tenant_id).values(plan=plan).returning(TenantModel.id)
        return await self._session.scalar(statement) is not None

    async def delete(self, tenant_id: UUID) -> bool:
        """Erase a tenant with all its data; return False if there is no such tenant."""
        statement = delete(TenantModel).where(TenantModel.id == tenant_id).returning(TenantModel.id)
        erased = await self._session.scalar(statement)
        if erased is not None:
            note_erased(self._session, [JournalEntry(ErasedKind.TENANT, tenant_id, tenant_id)])
        return erased is not None


class PlanDirectory:
    """All plans."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_page(self, after: str | None, limit: int) -> list[Plan]:
        """List up to `limit` plans after the name `after`, by name."""
        statement = select(PlanModel).order_by(PlanModel.name).limit(limit)
        if after is not None:
            statement = statement.where(PlanModel.name > after)
        return [describe_plan(row) for row in await self._session.scalars(statement)]

    async def find(self, name: str) -> Plan | None:
        row = await self._session.scalar(select(PlanModel).where(PlanModel.name == name))
        return describe_plan(row) if row is not None else None

    async def save(self, plan: Plan) -> None:
        """Create or replace a plan; it applies to its tenants from their next request on."""
        values: dict[str, Any] = {"rates": dict(plan.rates), "quotas": dict(plan.quotas)}
        statement = insert(PlanModel).values(name=plan.name, **values)
        await self._session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


async def find_tenants_with_expired(database: Database, now: datetime) -> list[UUID]:
    """Find the ids of tenants with expired data: the only query across tenants that the service's login may run."""
    async with database.transaction() as session:
        rows = await session.scalars(text("SELECT vultus_tenants_with_expired(:at)"), {"at": now})
        return list(rows)
