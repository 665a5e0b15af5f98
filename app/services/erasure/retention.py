"""Erases whose time is over: by their own date, by their tenant's retention; and remembered answers, after a day."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from app.errors import AppError
from app.persistence.connections.database import Database
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.tenants import find_tenants_with_expired
from app.services.audit.trail import RETENTION, AuditAction, AuditTrails
from app.services.background import log_and_continue
from app.telemetry import get_logger

_log = get_logger(__name__)

_AT_A_TIME = 100
SWEEP_PAUSE_S = 60.0


def now_utc() -> datetime:
    """The clock, unless a test has another."""
    return datetime.now(UTC)


class RetentionSweep:
    """One sweep over all tenants, in transactions of its own; several at a time do not disturb each other."""

    def __init__(self, database: Database, trails: AuditTrails, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._database = database
        self._trails = trails
        self._clock = clock

    async def run(self) -> int:
        """Erase every subject whose time is over now; how many there were."""
        now, erased = self._clock(), 0
        for tenant_id in await find_tenants_with_expired(self._database, now):
            try:
                erased += await self._sweep(tenant_id, now)
            except AppError as exc:  # one tenant's trouble is not the others'
                _log.warning("retention_not_swept", tenant=str(tenant_id), code=exc.code)
        return erased

    async def keep(self, *, pause_s: float = SWEEP_PAUSE_S) -> None:
        """Sweep again and again, until cancelled."""
        while True:
            with log_and_continue("retention_not_swept"):
                erased = await self.run()
                if erased:
                    _log.info("retention_swept", erased=erased)
            await asyncio.sleep(pause_s)

    async def _sweep(self, tenant_id: UUID, now: datetime) -> int:
        async with self._database.transaction(tenant_id) as session:
            await IdempotencyRecords(session, tenant_id).forget_old()
        erased = 0
        while found := await self._erase_some(tenant_id, now):
            erased += found
        return erased

    async def _erase_some(self, tenant_id: UUID, now: datetime) -> int:
        async with self._database.transaction(tenant_id) as session:
            policy = await PolicyRepository(session, tenant_id).get()
            subjects = SubjectRepository(session, tenant_id)
            erased = await subjects.erase_expired(now, policy.retention_days, _AT_A_TIME)
            trail = self._trails.open(session, tenant_id, RETENTION)
            for one in erased:
                await IdempotencyRecords(session, tenant_id).forget_about(one.collection, one.subject)
                await trail.record(
                    AuditAction.SUBJECT_ERASED,
                    trail.name_subject(one.collection, one.subject),
                    collection=one.collection,
                    because="expired" if one.has_expiry else "retention",
                )
        return len(erased)
