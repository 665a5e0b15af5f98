"""Tenants themselves: the only rows that belong to none."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.persistence.models import TenantModel


class TenantDirectory:
    """All tenants; used by sign-up and the operator's command line only."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, tenant_id: UUID, name: str) -> None:
        """Create a tenant; the transaction must run in its name already."""
        self._session.add(TenantModel(id=tenant_id, name=name))
        await self._session.flush()

    async def find_by_name(self, name: str) -> UUID | None:
        """The oldest tenant of that name; names are labels and need not be unique."""
        statement = select(TenantModel.id).where(TenantModel.name == name).order_by(TenantModel.created_at).limit(1)
        found: UUID | None = await self._session.scalar(statement)
        return found
