"""What the tenant's callers did, by day."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from app.errors import InvalidParameter
from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.schemas.usage import UsageOut

router = APIRouter(prefix=f"{API}/usage", tags=["tenant"], responses=AUTHENTICATED)

_LONGEST = timedelta(days=366)


@router.get("", summary="What was done, by day, operation and key", responses=problems(422))
async def list_usage(
    _: CanAdmin,
    services: ServicesDep,
    since: Annotated[date | None, Query(description="The first day; default: the first of this month (UTC).")] = None,
    before: Annotated[date | None, Query(description="The day after the last; default: tomorrow.")] = None,
) -> UsageOut:
    """Complete to the second before; of the last second other workers' counts may be missing."""
    today = datetime.now(UTC).date()
    first, end = since or today.replace(day=1), before or today + timedelta(days=1)
    if not timedelta(0) <= end - first <= _LONGEST:
        raise InvalidParameter(f"before: {end} must be at most {_LONGEST.days} days after {first}.", field="before")
    return UsageOut.of(first, end, await services.usage().list_days(first, end))
