"""The audit trail in the database: added to at its end, read in its order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Uuid, bindparam, insert, text

from app.persistence.models import AuditEntryModel, AuditHeadModel
from app.persistence.repositories.base import TenantRepository
from app.security.audit_chain import FIRST_SEAL, AuditEntry, Detail, SealedEntry

# Takes the next number and holds the chain until the transaction ends: entries follow each other as commits do.
_NEXT = text("""
INSERT INTO audit_heads AS head (tenant_id, seq, seal) VALUES (:tenant_id, 1, :first)
ON CONFLICT (tenant_id) DO UPDATE SET seq = head.seq + 1
RETURNING seq, seal, clock_timestamp() AS at
""").bindparams(bindparam("tenant_id", type_=Uuid), bindparam("first", type_=LargeBinary))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; None: all. `since` and `before` bound the time, the second exclusively."""

    actions: Sequence[str] | None = None
    actor: str | None = None
    targets: Sequence[str] | None = None
    since: datetime | None = None
    before: datetime | None = None


class AuditRepository(TenantRepository):
    """One tenant's chain."""

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
    ) -> SealedEntry:
        """Add an entry at the end; `sealer` makes its seal from it and the previous one."""
        seq, previous, at = (await self._session.execute(_NEXT, self._row(first=FIRST_SEAL))).one()
        entry = AuditEntry(self._tenant_id, seq, at, actor, action, target, details, request_id)
        added = SealedEntry(entry, key_id, bytes(previous), sealer(entry, bytes(previous)))
        values = self._row(
            seq=seq,
            at=at,
            actor=actor,
            action=action,
            target=target,
            details=dict(details),
            request_id=request_id,
            key_id=key_id,
            previous=added.previous,
            seal=added.seal,
        )
        entry_row = insert(AuditEntryModel).values(values).cte("entry")
        head = self._update(AuditHeadModel).values(seal=added.seal).add_cte(entry_row)
        await self._session.execute(head.execution_options(synchronize_session=False))
        return added

    async def list_page(self, wanted: AuditFilter, before_seq: int | None, limit: int) -> list[SealedEntry]:
        """Up to `limit` entries, the newest first, from before a number."""
        conditions = _conditions(wanted)
        if before_seq is not None:
            conditions.append(AuditEntryModel.seq < before_seq)
        statement = self._select(AuditEntryModel, *conditions).order_by(AuditEntryModel.seq.desc()).limit(limit)
        return [_describe(row) for row in await self._session.scalars(statement)]

    async def read_on(self, after_seq: int, limit: int) -> list[SealedEntry]:
        """Up to `limit` entries behind a number, the oldest first."""
        statement = self._select(AuditEntryModel, AuditEntryModel.seq > after_seq).order_by(AuditEntryModel.seq)
        return [_describe(row) for row in await self._session.scalars(statement.limit(limit))]

    async def lock_chain(self) -> None:
        """Read one snapshot from here on; before anything else in the transaction."""
        await self._session.connection(execution_options={"isolation_level": "REPEATABLE READ"})

    async def head(self) -> tuple[int, bytes]:
        """Number and seal of the newest entry."""
        row: Any = await self._session.scalar(self._select(AuditHeadModel))
        return (row.seq, bytes(row.seal)) if row is not None else (0, FIRST_SEAL)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.actions is not None:
        conditions.append(AuditEntryModel.action.in_(wanted.actions))
    if wanted.actor is not None:
        conditions.append(AuditEntryModel.actor == wanted.actor)
    if wanted.targets is not None:
        conditions.append(AuditEntryModel.target.in_(wanted.targets))
    if wanted.since is not None:
        conditions.append(AuditEntryModel.at >= wanted.since)
    if wanted.before is not None:
        conditions.append(AuditEntryModel.at < wanted.before)
    return conditions


def _describe(row: AuditEntryModel) -> SealedEntry:
    entry = AuditEntry(row.tenant_id, row.seq, row.at, row.actor, row.action, row.target, row.details, row.request_id)
    return SealedEntry(entry, row.key_id, bytes(row.previous), bytes(row.seal))
