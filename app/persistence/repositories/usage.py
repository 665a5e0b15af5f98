"""What a tenant has and did, and the plan it is on."""

from sqlalchemy import case, func, select

from app.domain.tenancy import TenantOverview
from app.permissions import Quota
from app.persistence.models import PlanModel, TenantModel, UsageModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.principals import describe_plan

_THIS_MONTH = func.date_trunc("month", func.now()).cast(UsageModel.month.type)


class UsageRepository(TenantRepository):
    """The usage of one tenant; triggers count what is stored."""

    async def begin(self) -> None:
        """Open the books of a new tenant."""
        self._session.add(UsageModel(**self._row()))
        await self._session.flush()

    async def used(self, quota: Quota) -> int:
        """How many there are now, this transaction's own included."""
        column = {
            Quota.TEMPLATES: UsageModel.templates,
            Quota.COLLECTIONS: UsageModel.collections,
            Quota.USERS: UsageModel.users,
            Quota.RECOGNITIONS: case((UsageModel.month == _THIS_MONTH, UsageModel.recognitions), else_=0),
        }[quota]
        return await self._session.scalar(select(column).where(self._own(UsageModel))) or 0

    async def overview(self) -> TenantOverview | None:
        """The tenant as it stands."""
        statement = (
            select(TenantModel.name, PlanModel)
            .join(UsageModel, TenantModel.id == UsageModel.tenant_id)
            .join(PlanModel, PlanModel.name == TenantModel.plan)
            .where(self._own(UsageModel))
        )
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            return None
        name, plan = row
        return TenantOverview(name, describe_plan(plan), {quota: await self.used(quota) for quota in Quota})
