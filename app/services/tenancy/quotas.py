"""Check usage against the quotas of a tenant's plan."""

from app.errors import QuotaExceeded
from app.permissions import Plan, Principal, Quota
from app.persistence.connections.database import Database
from app.persistence.repositories.hot_queries import HotQueries
from app.persistence.repositories.usage import UsageRepository


class QuotaService:
    """Check the quotas of one tenant, after rows are written and before they are committed.

    Triggers do the counting; their row lock puts concurrent transactions in order.
    """

    def __init__(self, usage: UsageRepository, plan: Plan) -> None:
        self._usage = usage
        self._plan = plan

    async def check(self, quota: Quota) -> None:
        """Raise `QuotaExceeded` if the tenant now uses more than its plan includes."""
        if self._plan.quota(quota) is not None:
            self.check_used(quota, await self._usage.count_used(quota))

    def video_refused(self, seconds: int) -> QuotaExceeded:
        """Describe that a video of so many seconds would exceed the plan's monthly quota."""
        return _month_exceeded(self._plan, Quota.VIDEO_SECONDS, seconds)

    def limit(self, quota: Quota) -> int | None:
        """Return how much the tenant's plan includes; None: no limit."""
        return self._plan.quota(quota)

    def check_used(self, quota: Quota, used: int) -> None:
        """Raise `QuotaExceeded` if `used` is more than the plan includes."""
        limit = self._plan.quota(quota)
        if limit is not None and used > limit:
            raise QuotaExceeded.of(
                quota.value,
                f"Plan {self._plan.name!r} includes {limit} {_name(quota)}; this request would make it {used}. "
                f"Delete some, or ask for a larger plan.",
            )


async def count_recognition(database: Database, principal: Principal, images: int = 1) -> None:
    """Count `images` recognitions of this month in advance: all of them, or none and raise `QuotaExceeded`."""
    limit = principal.plan.quota(Quota.RECOGNITIONS)
    if not await HotQueries(database, principal.tenant_id).count_recognitions(limit, images):
        raise quota_exceeded(principal.plan, images)


def quota_exceeded(plan: Plan, images: int) -> QuotaExceeded:
    """Describe that `images` more recognitions would exceed the plan's monthly quota."""
    return _month_exceeded(plan, Quota.RECOGNITIONS, images)


def _month_exceeded(plan: Plan, quota: Quota, more: int) -> QuotaExceeded:
    return QuotaExceeded.of(
        quota.value,
        f"Plan {plan.name!r} includes {plan.quota(quota)} {_name(quota)}; {more} more would exceed it. "
        "Wait for the next month, or ask for a larger plan.",
    )


def _name(quota: Quota) -> str:
    return quota.value.replace("_", " ")
