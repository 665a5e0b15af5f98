"""Counts what was answered, by day, operation and caller: what a bill is made of, and what its reader can check.

Counted is what was answered with success, once: no refusal, no error, no answer that an Idempotency-Key repeated.
Each worker adds its counts to the database every second and when it ends; one that is killed forgets its last second,
in the customer's favor.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from uuid import UUID

from app.domain.tenancy import UsageCount, UsageKey
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.usage_days import UsageDayRepository, add_usage
from app.services.background import log_and_continue

_FLUSH_S = 1.0

_Counts = dict[UUID, dict[UsageKey, UsageCount]]


class Meter:
    """One per process; used from its loop only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: _Counts = {}
        self._flushing = asyncio.Lock()
        self._is_ending = asyncio.Event()

    def count(self, principal: Principal, operation: str, images: int) -> None:
        """One call, answered now."""
        key = UsageKey(datetime.now(UTC).date(), operation, principal.name)
        self._add(principal.tenant_id, key, UsageCount(1, images))

    async def flush(self) -> None:
        """Add what was counted to the database; what cannot be added now is kept."""
        async with self._flushing:
            counts, self._counts = self._counts, {}
            for tenant_id, own in counts.items():
                is_added = False
                with log_and_continue("usage_not_added"):
                    await add_usage(self._database, tenant_id, own)
                    is_added = True
                if not is_added:
                    for key, count in own.items():
                        self._add(tenant_id, key, count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flush every second for the time of the block, and once more at its end."""
        task = asyncio.create_task(self._go_on())
        try:
            yield
        finally:
            self._is_ending.set()
            await task
            await self.flush()

    async def _go_on(self) -> None:
        # Never cancelled: ending the server must not lose what is on its way.
        while not self._is_ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_ending.wait(), _FLUSH_S)
            await self.flush()

    def _add(self, tenant_id: UUID, key: UsageKey, more: UsageCount) -> None:
        own = self._counts.setdefault(tenant_id, {})
        known = own.get(key, UsageCount(0, 0))
        own[key] = UsageCount(known.calls + more.calls, known.images + more.images)


class UsageService:
    """The counts of the caller's tenant."""

    def __init__(self, days: UsageDayRepository, meter: Meter | None = None) -> None:
        self._days = days
        self._meter = meter

    async def list_days(self, since: date, before: date) -> dict[UsageKey, UsageCount]:
        """From one day on to before another; what this process counted in the last second is included."""
        if self._meter is not None:
            await self._meter.flush()
        return await self._days.list_days(since, before)
