"""Erase expired subjects, by their own expiry or by a retention, and delete day-old stored responses."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.errors import AppError
from app.persistence.connections.database import Database
from app.persistence.repositories.expired_subjects import ExpiredSubjectRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.tenants import find_tenants_with_expired
from app.persistence.schedule import Work, claim
from app.services.audit.actions import AuditAction
from app.services.audit.trail import RETENTION, AuditTrails
from app.services.background import log_and_continue
from app.telemetry import get_logger

_log = get_logger(__name__)

_BATCH_SIZE = 100
SWEEP_PAUSE_S = 60.0


def now_utc() -> datetime:
    return datetime.now(UTC)


class RetentionSweep:
    """Sweep all tenants for expired subjects, in its own transactions; several workers may sweep concurrently."""

    def __init__(self, database: Database, trails: AuditTrails, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._database = database
        self._trails = trails
        self._clock = clock

    async def run(self) -> int:
        """Erase all expired subjects; return how many there were."""
        now, erased = self._clock(), 0
        for tenant_id in await find_tenants_with_expired(self._database, now):
            try:
                erased += await self._sweep(tenant_id, now)
            except AppError as exc:  # the other tenants are still swept
                _log.warning("retention_not_swept", tenant=str(tenant_id), code=exc.code)
        return erased

    async def run_forever(self, *, pause_s: float = SWEEP_PAUSE_S) -> None:
        """Sweep until cancelled, with a pause after each sweep; of all processes, one sweeps at a time."""
        while True:
            with log_and_continue("retention_not_swept"):
                if await claim(self._database, Work.RETENTION, timedelta(seconds=pause_s)) and (
                    erased := await self.run()
                ):
                    _log.info("retention_swept", erased=erased)
            await asyncio.sleep(pause_s)

    async def _sweep(self, tenant_id: UUID, now: datetime) -> int:
        async with self._database.transaction(tenant_id) as session:
            await IdempotencyRecords(session, tenant_id).delete_expired()
        erased = 0
        while count := await self._erase_batch(tenant_id, now):
            erased += count
        return erased

    async def _erase_batch(self, tenant_id: UUID, now: datetime) -> int:
        async with self._database.transaction(tenant_id) as session:
            policy = await PolicyRepository(session, tenant_id).get()
            subjects = ExpiredSubjectRepository(session, tenant_id)
            erased = await subjects.delete_expired(now, policy.retention_days, _BATCH_SIZE)
            erased += await subjects.delete_expired_in_pools(now, _BATCH_SIZE)
            trail = self._trails.open(session, tenant_id, RETENTION)
            for expired in erased:
                await IdempotencyRecords(session, tenant_id).redact_about(expired.collection, expired.subject)
                await trail.record_subject(
                    AuditAction.SUBJECT_ERASED,
                    expired.collection,
                    expired.subject,
                    because="expired" if expired.is_past_expiry else "retention",
                )
        return len(erased)
