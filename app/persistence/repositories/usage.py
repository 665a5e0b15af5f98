"""A tenant's usage counts and plan."""

from sqlalchemy import case, func, select

from app.domain.tenancy import TenantOverview
from app.permissions import Plan, Quota
from app.persistence.models import PlanModel, TenantModel, UsageModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.principals import describe_plan

THIS_MONTH = func.date_trunc("month", func.now()).cast(UsageModel.month.type)
"""The first day of the present month, as an SQL expression."""


class UsageRepository(TenantRepository):
    """The usage of one tenant; triggers count stored templates, collections and users."""

    async def add(self) -> None:
        """Create the usage row of a new tenant."""
        self._session.add(UsageModel(**self._row()))
        await self._session.flush()

    async def count_used(self, quota: Quota) -> int:
        """Return how much of a quota is used, including this transaction's changes."""
        column = {
            Quota.TEMPLATES: UsageModel.templates,
            Quota.COLLECTIONS: UsageModel.collections,
            Quota.USERS: UsageModel.users,
            Quota.RECOGNITIONS: case((UsageModel.month == THIS_MONTH, UsageModel.recognitions), else_=0),
            Quota.VIDEO_SECONDS: case((UsageModel.video_month == THIS_MONTH, UsageModel.video_seconds), else_=0),
        }[quota]
        return await self._session.scalar(select(column).where(self._of_tenant(UsageModel))) or 0

    async def get_plan(self) -> Plan | None:
        """Return the tenant's plan; None if it does not exist."""
        statement = (
            select(PlanModel)
            .join(TenantModel, TenantModel.plan == PlanModel.name)
            .join(UsageModel, TenantModel.id == UsageModel.tenant_id)
            .where(self._of_tenant(UsageModel))
        )
        row: PlanModel | None = await self._session.scalar(statement)
        return describe_plan(row) if row is not None else None

    async def get_overview(self) -> TenantOverview | None:
        """Return the tenant with its plan and usage; None if it does not exist."""
        statement = (
            select(TenantModel.name, PlanModel)
            .join(UsageModel, TenantModel.id == UsageModel.tenant_id)
            .join(PlanModel, PlanModel.name == TenantModel.plan)
            .where(self._of_tenant(UsageModel))
        )
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            return None
        name, plan = row
        return TenantOverview(name, describe_plan(plan), {quota: await self.count_used(quota) for quota in Quota})
