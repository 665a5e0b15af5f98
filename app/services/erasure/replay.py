"""Erase again what a restored backup brought back, as recorded in the erasure journal."""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from uuid import UUID

from app.persistence.connections.database import Database, Transaction
from app.persistence.erasure_journal import ErasedKind, Journal, JournalEntry
from app.persistence.repositories.erasures import ErasureMarks, ErasureRepository
from app.persistence.repositories.idempotency_records import IdempotencyRecords
from app.services.audit.actions import AuditAction
from app.services.audit.trail import RESTORE, AuditTrails
from app.telemetry import get_logger

_log = get_logger(__name__)

_REASON = "restored from a backup"
_ACTIONS = {
    ErasedKind.COLLECTION: AuditAction.COLLECTION_ERASED,
    ErasedKind.SUBJECT: AuditAction.SUBJECT_ERASED,
    ErasedKind.FACE: AuditAction.FACE_ERASED,
    ErasedKind.CONSENT: AuditAction.CONSENT_WITHDRAWN,
}


class ErasureReplay:
    """Replay the erasure journal before the server is ready; without a restore this takes milliseconds."""

    def __init__(self, database: Database, journal: Journal, trails: AuditTrails) -> None:
        self._database = database
        self._journal = journal
        self._trails = trails

    async def run(self) -> int:
        """Erase all entries after the position the database has applied; return how many records had come back."""
        marks = ErasureMarks(self._database)
        known, erased = await marks.get_all(), 0
        for identity, part in await asyncio.to_thread(lambda: list(self._journal.read_after(known))):
            for tenant_id, entries in groupby(part.entries, lambda entry: entry.tenant_id):
                erased += await self._erase(tenant_id, list(entries))
            await marks.set(identity, part.position)
        if erased:
            _log.warning("erased_again_after_a_restore", count=erased)
        return erased

    async def _erase(self, tenant_id: UUID, entries: Iterable[JournalEntry]) -> int:
        erased = 0
        async with self._database.transaction(tenant_id) as session:
            rows = ErasureRepository(session, tenant_id)
            for entry in entries:
                if entry.kind is ErasedKind.TENANT:
                    if await rows.has_tenant():
                        # The service's login may not erase tenants.
                        _log.error("an_erased_tenant_is_back", tenant=str(tenant_id))
                elif names := await rows.find_names(entry.kind, entry.id):
                    erased += await self._erase_entry(session, entry, *names)
        return erased

    async def _erase_entry(
        self, session: Transaction, entry: JournalEntry, collection: str, subject: str | None
    ) -> int:
        rows = ErasureRepository(session, entry.tenant_id)
        if entry.kind is ErasedKind.CONSENT:
            is_done = await rows.withdraw_consent(entry.id, entry.at)
        else:
            is_done = await rows.delete(entry.kind, entry.id)
        if not is_done:
            return 0
        await IdempotencyRecords(session, entry.tenant_id).redact_about(collection, subject)
        trail = self._trails.open(session, entry.tenant_id, RESTORE)
        action = _ACTIONS[entry.kind]
        if subject is None:
            await trail.record(action, f"collection:{collection}", collection=collection, because=_REASON)
        else:
            await trail.record_subject(action, collection, subject, because=_REASON)
        return 1
