"""Count successful requests by day, operation and caller, for billing and for checking a bill.

Errors and responses replayed for an Idempotency-Key are not counted. A change is counted in its own transaction, so
there is never one without the other. Each worker adds its other counts, such as recognitions, to the database every
second and when it ends: a killed worker loses those of its last second, in the customer's favor.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from uuid import UUID

from app.domain.tenancy import UsageCount, UsageKey
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.usage_days import UsageDayRepository, add_usage
from app.security.cursors import CursorSigner
from app.services.background import log_and_continue
from app.services.paging import Page, PageRequest, bind_filters, cut_page

_FLUSH_S = 1.0

_Counts = dict[UUID, dict[UsageKey, UsageCount]]


class Meter:
    """Collect the counts of one process; used from its event loop only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: _Counts = {}
        self._flushing = asyncio.Lock()
        self._is_ending = asyncio.Event()

    def count(self, principal: Principal, operation: str, images: int) -> None:
        """Count one successful request with its images."""
        self._add(principal.tenant_id, usage_key(principal, operation), UsageCount(1, images))

    def take_back(self, principal: Principal, key: UsageKey, images: int) -> None:
        """Subtract a change that was counted and committed, but whose caller received an error or nothing."""
        self._add(principal.tenant_id, key, UsageCount(-1, -images))

    async def flush(self) -> None:
        """Add the counts to the database; those that cannot be added are kept for the next flush."""
        async with self._flushing:
            counts, self._counts = self._counts, {}
            for tenant_id, tenant_counts in counts.items():
                is_added = False
                with log_and_continue("usage_not_added"):
                    await add_usage(self._database, tenant_id, tenant_counts)
                    is_added = True
                if not is_added:
                    for key, count in tenant_counts.items():
                        self._add(tenant_id, key, count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flush every second during the block, and once more at its end."""
        task = asyncio.create_task(self._flush_regularly())
        try:
            yield
        finally:
            self._is_ending.set()
            await task
            await self.flush()

    async def _flush_regularly(self) -> None:
        # Never cancelled: a shutdown must not lose counts that are being written.
        while not self._is_ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_ending.wait(), _FLUSH_S)
            await self.flush()

    def _add(self, tenant_id: UUID, key: UsageKey, more: UsageCount) -> None:
        counts = self._counts.setdefault(tenant_id, {})
        count = counts.get(key, UsageCount(0, 0))
        counts[key] = UsageCount(count.calls + more.calls, count.images + more.images)


def usage_key(principal: Principal, operation: str) -> UsageKey:
    """Return the key under which a request of this moment counts."""
    return UsageKey(datetime.now(UTC).date(), operation, principal.name)


class UsageService:
    """Read the usage of the caller's tenant, and count a change of it."""

    def __init__(self, days: UsageDayRepository, cursors: CursorSigner, meter: Meter | None = None) -> None:
        self._days = days
        self._cursors = cursors
        self._meter = meter

    async def count_change(self, key: UsageKey, images: int) -> None:
        """Count one change with its images in the change's transaction, as its last statement."""
        await self._days.add(key, UsageCount(1, images))

    async def list_days(self, since: date, before: date, request: PageRequest) -> Page[tuple[UsageKey, UsageCount]]:
        """List one page of the counts from `since` up to, excluding, `before`, by day, operation and caller.

        Flushes this process's own counts first. Raises `InvalidCursor`.
        """
        scope = bind_filters(f"{self._days.tenant_id}/usage", since=since, before=before)
        after = self._cursors.open(scope, request.cursor, _read_key) if request.cursor else None
        await self._flush()
        found = await self._days.list_days(since, before, after, request.limit + 1)
        return cut_page(list(found.items()), request.limit, lambda last: self._cursors.sign(scope, _write_key(last[0])))

    async def sum_days(self, since: date, before: date) -> UsageCount:
        """Sum the counts from `since` up to, excluding, `before`; flushes this process's own counts first."""
        await self._flush()
        return await self._days.sum_days(since, before)

    async def _flush(self) -> None:
        if self._meter is not None:
            await self._meter.flush()


def _write_key(key: UsageKey) -> str:
    return json.dumps([key.day.isoformat(), key.operation, key.caller])


def _read_key(position: str) -> UsageKey:
    day, operation, caller = json.loads(position)
    return UsageKey(date.fromisoformat(day), operation, caller)
