"""Whether a tenant's plan includes more of something."""

from app.errors import QuotaExceeded
from app.permissions import Plan, Principal, Quota
from app.persistence.database import Database
from app.persistence.repositories.usage import UsageRepository


class QuotaService:
    """Checked after the rows are written and before they are committed: triggers count, and their row lock orders."""

    def __init__(self, usage: UsageRepository, plan: Plan) -> None:
        self._usage = usage
        self._plan = plan

    async def check(self, quota: Quota) -> None:
        """Raises `QuotaExceeded` if there are more now than the plan includes."""
        most = self._plan.quota(quota)
        if most is None:
            return
        used = await self._usage.used(quota)
        if used > most:
            raise _exceeded(self._plan, quota, most)


async def count_recognition(database: Database, principal: Principal) -> None:
    """Count one recognition of the month before it is done; raises `QuotaExceeded`."""
    most = principal.plan.quota(Quota.RECOGNITIONS)
    async with database.transaction(principal.tenant_id) as session:
        is_counted = await UsageRepository(session, principal.tenant_id).count_recognition(most)
    if not is_counted:
        raise _exceeded(principal.plan, Quota.RECOGNITIONS, most)


def _exceeded(plan: Plan, quota: Quota, most: int | None) -> QuotaExceeded:
    return QuotaExceeded(f"Plan {plan.name!r} includes {most} {quota.value.replace('_', ' ')}.")
