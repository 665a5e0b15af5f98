"""The audit trail in the database: append-only, read in the order of sequence numbers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement

from app.domain.events import Event
from app.persistence.connections.database import driver_connection
from app.persistence.models import AuditEntryModel, AuditHeadModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.events import EventRepository, request_turns, write_events
from app.security.audit_chain import FIRST_SEAL, AuditEntry, Detail, SealedEntry

_NEXT = "SELECT seq, seal, at FROM vultus_next_audit_entry($1, $2)"
_APPEND = "SELECT vultus_append_audit_entry($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $10, $11)"
_APPEND_WITH_EVENTS = (
    "SELECT webhook_id, turn FROM vultus_append_with_events("
    "$1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $10, $11, $12::text::jsonb, $13)"
)


class ChainHead(NamedTuple):
    """The next entry's number and time, and the previous seal; the chain is locked until the transaction ends."""

    seq: int
    previous: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries to list; None: no restriction. `since` is inclusive, `before` exclusive."""

    actions: Sequence[str] | None = None
    actor: str | None = None
    targets: Sequence[str] | None = None
    since: datetime | None = None
    before: datetime | None = None


class AuditRepository(TenantRepository):
    """One tenant's audit chain."""

    async def add(
        self,
        *,
        actor: str,
        action: str,
        target: str | None,
        details: Mapping[str, Detail],
        request_id: str | None,
        key_id: str,
        sealer: Callable[[AuditEntry, bytes], bytes],
        head: ChainHead | None = None,
        events: Sequence[Event] = (),
    ) -> SealedEntry:
        """Append an entry, and the events of the change; `sealer` computes its seal from it and the previous seal.

        Locks the chain unless an earlier statement has: `head` is then what that returned.
        """
        seq, previous, at = head or ChainHead(*await self._fetch_row(_NEXT, FIRST_SEAL))
        entry = AuditEntry(self._tenant_id, seq, at, actor, action, target, details, request_id)
        added = SealedEntry(entry, key_id, previous, sealer(entry, previous))
        text, seals = json.dumps(dict(details)), (previous, added.seal)
        values = (self._tenant_id, seq, at, actor, action, target, text, request_id, key_id, *seals)
        connection = await driver_connection(self._session)
        if events:
            turns = await connection.fetch(_APPEND_WITH_EVENTS, *values, write_events(events), FIRST_SEAL)
            await request_turns(self._session, self._tenant_id, turns)
        else:
            await connection.fetch(_APPEND, *values)
        return added

    async def lock(self) -> None:
        """Lock the chain until the transaction ends, before rows that others lock after it."""
        await self._session.execute(self._select(AuditHeadModel).with_for_update(key_share=True))

    def events(self) -> EventRepository:
        """Return the events of the same tenant, in the same transaction."""
        return EventRepository(self._session, self._tenant_id)

    async def list_page(self, matching: AuditFilter, before_seq: int | None, limit: int) -> list[SealedEntry]:
        """List up to `limit` entries before a sequence number, newest first."""
        conditions = _conditions(matching)
        if before_seq is not None:
            conditions.append(AuditEntryModel.seq < before_seq)
        statement = self._select(AuditEntryModel, *conditions).order_by(AuditEntryModel.seq.desc()).limit(limit)
        return [_describe(row) for row in await self._session.scalars(statement)]

    async def list_after(self, after_seq: int, limit: int) -> list[SealedEntry]:
        """List up to `limit` entries after a sequence number, oldest first."""
        statement = self._select(AuditEntryModel, AuditEntryModel.seq > after_seq).order_by(AuditEntryModel.seq)
        return [_describe(row) for row in await self._session.scalars(statement.limit(limit))]

    async def use_snapshot(self) -> None:
        """Make all reads of this transaction see one snapshot; call it before any query."""
        await self._session.connection(execution_options={"isolation_level": "REPEATABLE READ"})

    async def get_head(self) -> tuple[int, bytes]:
        """Return the newest entry's sequence number and seal; 0 and `FIRST_SEAL` for an empty chain."""
        row: Any = await self._session.scalar(self._select(AuditHeadModel))
        return (row.seq, bytes(row.seal)) if row is not None else (0, FIRST_SEAL)


def _conditions(matching: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if matching.actions is not None:
        conditions.append(AuditEntryModel.action.in_(matching.actions))
    if matching.actor is not None:
        conditions.append(AuditEntryModel.actor == matching.actor)
    if matching.targets is not None:
        conditions.append(AuditEntryModel.target.in_(matching.targets))
    if matching.since is not None:
        conditions.append(AuditEntryModel.at >= matching.since)
    if matching.before is not None:
        conditions.append(AuditEntryModel.at < matching.before)
    return conditions


def _describe(row: AuditEntryModel) -> SealedEntry:
    entry = AuditEntry(row.tenant_id, row.seq, row.at, row.actor, row.action, row.target, row.details, row.request_id)
    return SealedEntry(entry, row.key_id, bytes(row.previous), bytes(row.seal))
