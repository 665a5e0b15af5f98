"""Serve the tenant's usage by day."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query

from app.errors import InvalidParameter
from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import Day
from app.schemas.usage import UsageOut

router = strict_router(prefix=f"{API}/usage", tags=["tenant"], responses=AUTHENTICATED)

_MAX_PERIOD = timedelta(days=366)


async def get_period(
    since: Annotated[Day | None, Query(description="The first day. Default: the first of this month, UTC.")] = None,
    before: Annotated[Day | None, Query(description="The day after the last. Default: tomorrow, UTC.")] = None,
) -> tuple[date, date]:
    """Return the requested period: its first day, and the day after its last."""
    today = datetime.now(UTC).date()
    first, end = since or today.replace(day=1), before or today + timedelta(days=1)
    if not timedelta(0) <= end - first <= _MAX_PERIOD:
        raise InvalidParameter(
            f"before: {end} must not be earlier than {first} (`since`), nor more than {_MAX_PERIOD.days} days later.",
            field="before",
        )
    return first, end


PeriodDep = Annotated[tuple[date, date], Depends(get_period)]


@router.get("", summary="Get usage by day, operation and caller", responses=problems(422))
async def list_usage(_: CanAdmin, page: PageDep, services: ServicesDep, period: PeriodDep) -> UsageOut:
    """Counts successful calls. Calls from the last second may still be missing. The totals count all pages."""
    (first, end), usage = period, services.usage()
    found = await usage.list_days(first, end, page)
    return UsageOut.of(first, end, await usage.sum_days(first, end), found)
