"""Daily usage counts by operation and caller."""

from collections.abc import Mapping
from dataclasses import astuple
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, func, select, tuple_

from app.domain.tenancy import UsageCount, UsageKey
from app.persistence.connections.database import Database
from app.persistence.models import UsageDayModel
from app.persistence.repositories.base import TenantRepository

_ADD = """
INSERT INTO usage_days AS u (tenant_id, day, operation, caller, calls, images, video_seconds)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, day, operation, caller)
DO UPDATE SET calls = u.calls + excluded.calls, images = u.images + excluded.images,
              video_seconds = u.video_seconds + excluded.video_seconds
"""


class UsageDayRepository(TenantRepository):
    """One tenant's daily usage counts."""

    async def list_days(
        self, since: date, before: date, after: UsageKey | None = None, limit: int | None = None
    ) -> dict[UsageKey, UsageCount]:
        """List the counts from `since` (inclusive) to `before` (exclusive), by day, operation and caller.

        `after` and `limit` select a page: at most `limit` counts after the one of this key.
        """
        order = (UsageDayModel.day, UsageDayModel.operation, UsageDayModel.caller)
        statement = self._select(UsageDayModel, UsageDayModel.day >= since, UsageDayModel.day < before)
        if after is not None:
            statement = statement.where(tuple_(*order) > tuple_(*after))
        return {
            UsageKey(row.day, row.operation, row.caller): UsageCount(row.calls, row.images, row.video_seconds)
            for row in await self._session.scalars(statement.order_by(*order).limit(limit))
        }

    async def sum_days(self, since: date, before: date) -> UsageCount:
        """Sum all counts of the days from `since` (inclusive) to `before` (exclusive)."""
        sums = (
            func.coalesce(func.sum(column), 0).cast(BigInteger)
            for column in (UsageDayModel.calls, UsageDayModel.images, UsageDayModel.video_seconds)
        )
        statement = select(*sums).where(
            self._of_tenant(UsageDayModel), UsageDayModel.day >= since, UsageDayModel.day < before
        )
        row: Any = (await self._session.execute(statement)).one()
        return UsageCount(*row)

    async def add(self, key: UsageKey, count: UsageCount) -> None:
        """Add to a count in this transaction; call it last, because it locks the count until the commit."""
        await self._fetch_row(_ADD, *key, *astuple(count))


async def add_usage(database: Database, tenant_id: UUID, counts: Mapping[UsageKey, UsageCount]) -> None:
    """Add to a tenant's counts in one round trip; does nothing if the tenant was deleted."""
    keys = list(counts)
    await database.fetch_row(
        "SELECT vultus_add_usage($1, $2, $3, $4, $5, $6)",
        tenant_id,
        [key.day for key in keys],
        [key.operation for key in keys],
        [key.caller for key in keys],
        [counts[key].calls for key in keys],
        [counts[key].images for key in keys],
    )
