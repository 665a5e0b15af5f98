"""Whether a tenant's plan includes more of something."""

from app.errors import QuotaExceeded
from app.permissions import Plan, Principal, Quota
from app.persistence.connections.database import Database
from app.persistence.repositories.hot_queries import HotQueries
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


async def count_recognition(database: Database, principal: Principal, images: int = 1) -> None:
    """Count so many recognitions of the month before they are done: all, or none and `QuotaExceeded`."""
    most = principal.plan.quota(Quota.RECOGNITIONS)
    is_counted = await HotQueries(database, principal.tenant_id).count_recognitions(most, images)
    if not is_counted:
        raise _exceeded(principal.plan, Quota.RECOGNITIONS, most)


def _exceeded(plan: Plan, quota: Quota, most: int | None) -> QuotaExceeded:
    return QuotaExceeded(f"Plan {plan.name!r} includes {most} {quota.value.replace('_', ' ')}.")
