"""Erases again whom a restored backup brought back, as the erasure journal remembers them."""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from uuid import UUID

from app.persistence.connections.database import Database, Transaction
from app.persistence.erasure_journal import Erased, ErasedKind, ErasureJournal
from app.persistence.repositories.erasures import ErasureMarks, ErasureRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.services.audit.trail import RESTORE, AuditAction, AuditTrails
from app.telemetry import get_logger

_log = get_logger(__name__)

_BECAUSE = "restored from a backup"
_ACTIONS = {
    ErasedKind.COLLECTION: AuditAction.COLLECTION_ERASED,
    ErasedKind.SUBJECT: AuditAction.SUBJECT_ERASED,
    ErasedKind.FACE: AuditAction.FACE_ERASED,
    ErasedKind.CONSENT: AuditAction.CONSENT_WITHDRAWN,
}


class ErasureReplay:
    """Runs before a server answers. Where nothing was restored it finds nobody, and takes milliseconds."""

    def __init__(self, database: Database, journal: ErasureJournal, trails: AuditTrails) -> None:
        self._database = database
        self._journal = journal
        self._trails = trails

    async def run(self) -> int:
        """Erase everything that was noted since the database last saw the journal's end; how much was there again."""
        identity = await asyncio.to_thread(self._journal.identity)
        if identity is None:
            return 0
        marks = ErasureMarks(self._database)
        part = await asyncio.to_thread(self._journal.read, await marks.get(identity))
        again = 0
        for tenant_id, erased in groupby(part.erased, lambda one: one.tenant_id):
            again += await self._erase(tenant_id, list(erased))
        await marks.set(identity, part.position)
        if again:
            _log.warning("erased_again_after_a_restore", count=again)
        return again

    async def _erase(self, tenant_id: UUID, erased: Iterable[Erased]) -> int:
        again = 0
        async with self._database.transaction(tenant_id) as session:
            rows = ErasureRepository(session, tenant_id)
            for one in erased:
                if one.kind is ErasedKind.TENANT:
                    if await rows.has_tenant():
                        # The service's login may not erase tenants.
                        _log.error("an_erased_tenant_is_back", tenant=str(tenant_id))
                elif names := await rows.find_names(one.kind, one.id):
                    again += await self._erase_one(session, one, *names)
        return again

    async def _erase_one(self, session: Transaction, one: Erased, collection: str, subject: str | None) -> int:
        rows = ErasureRepository(session, one.tenant_id)
        if one.kind is ErasedKind.CONSENT:
            is_done = await rows.withdraw_consent(one.id, one.at)
        else:
            is_done = await rows.erase(one.kind, one.id)
        if not is_done:
            return 0
        await IdempotencyRecords(session, one.tenant_id).forget_about(collection, subject)
        trail = self._trails.open(session, one.tenant_id, RESTORE)
        target = f"collection:{collection}" if subject is None else trail.name_subject(collection, subject)
        await trail.record(_ACTIONS[one.kind], target, collection=collection, because=_BECAUSE)
        return 1
