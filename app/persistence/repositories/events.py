"""A tenant's events: written in the transaction of the change, read in order."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.events import Event, EventPage, StoredEvent
from app.persistence.connections.database import Database, driver_connection
from app.persistence.job_queue import JobKind, enqueue
from app.persistence.models import AuditHeadModel, EventModel
from app.persistence.repositories.base import TenantRepository
from app.security.audit_chain import FIRST_SEAL

_PRUNE_BATCH = 1000
_ADD = "SELECT webhook_id, turn FROM vultus_add_events($1, $2::text::jsonb, $3)"


class EventRepository(TenantRepository):
    """One tenant's events."""

    async def add(self, events: Sequence[Event]) -> None:
        """Add events; they are committed or rolled back together with the change.

        Locks the head of the audit trail until the transaction ends, so call it after the change itself.
        """
        if events:
            connection = await driver_connection(self._session)
            rows = await connection.fetch(_ADD, self._tenant_id, write_events(events), FIRST_SEAL)
            await request_turns(self._session, self._tenant_id, rows)

    async def has_since(self, event: Event, since: datetime) -> bool:
        """Return whether an equal event was written since a time."""
        is_equal = (EventModel.type == event.type.value) & (EventModel.data == event.data)
        found = select(EventModel.seq).where(self._of_tenant(EventModel), is_equal, EventModel.at >= since).limit(1)
        return await self._session.scalar(found) is not None

    async def list_after(
        self,
        seq: int,
        limit: int,
        *,
        types: Iterable[str] | None = None,
        without: Iterable[str] = (),
        collections: Iterable[str] | None = None,
    ) -> EventPage:
        """List up to `limit` events after a number, oldest first; None: every type or collection."""
        columns = (AuditHeadModel.event_seq, AuditHeadModel.events_pruned_through)
        head = (await self._session.execute(select(*columns).where(self._of_tenant(AuditHeadModel)))).one_or_none()
        newest, pruned = head or (0, 0)
        found = self._select(EventModel, EventModel.seq > seq).order_by(EventModel.seq).limit(limit)
        if types is not None:
            found = found.where(EventModel.type.in_(list(types)))
        if without:
            found = found.where(EventModel.type.not_in(list(without)))
        if collections is not None:
            names = list(collections)
            album = EventModel.data["album"].astext
            found = found.where(EventModel.collection.in_(names), or_(album.is_(None), album.in_(names)))
        events = [describe_event(row) for row in await self._session.scalars(found)]
        # All events up to the newest were looked at if there are fewer than asked for.
        last_seq = events[-1].seq if len(events) == limit else max([newest, *(one.seq for one in events)])
        return EventPage(events, pruned <= seq <= newest, last_seq)

    async def last_seq(self) -> int:
        """Return the number of the newest event, 0 for none."""
        return await self._session.scalar(select(AuditHeadModel.event_seq).where(self._of_tenant(AuditHeadModel))) or 0


def write_events(events: Sequence[Event]) -> str:
    """Write events as `vultus_add_events` takes them."""
    return json.dumps(
        [
            {"type": one.type.value, "collection": one.collection, "subject": one.subject, "data": one.data}
            for one in events
        ],
        default=str,
    )


def describe_event(row: EventModel) -> StoredEvent:
    return StoredEvent(row.seq, row.id, row.at, row.type, row.data, row.traceparent)


async def request_turns(session: AsyncSession, tenant_id: UUID, rows: Iterable[Any]) -> None:
    """Add the turns of webhooks to the job queue; `rows` have `webhook_id` and `turn`."""
    for row in rows:
        webhook_id, turn = row["webhook_id"], row["turn"]
        await enqueue(session, JobKind.WEBHOOK_TURN, tenant_id, f"webhook:{webhook_id}:{turn}", of=webhook_id)


async def prune_events(database: Database, keep: timedelta) -> int:
    """Delete all tenants' events that are older than `keep`, with their deliveries; return how many.

    Each transaction deletes a few, because the tenant's changes wait for it. Busy tenants are left for the next time.
    """
    total = 0
    while True:
        async with database.transaction() as session:
            parameters = {"keep": keep, "batch": _PRUNE_BATCH}
            pruned = int(await session.scalar(text("SELECT vultus_prune_events(:keep, :batch)"), parameters) or 0)
        if not pruned:
            return total
        total += pruned
