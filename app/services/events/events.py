"""List a tenant's events as far as the caller may read them, and watch for new ones."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from app.domain.events import ADMIN_EVENTS, EventPage, EventType, StoredEvent
from app.permissions import Permission, Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.events import EventRepository

_PAUSE_S = 1.0
_AT_ONCE = 100


class EventService:
    """The events that one caller may read: a limited key sees its collections, and only admins see keys and quotas."""

    def __init__(self, database: Database, principal: Principal, *, pause_s: float = _PAUSE_S) -> None:
        self._database = database
        self._principal = principal
        self._pause_s = pause_s

    async def list_after(self, seq: int, limit: int, types: Iterable[EventType] | None = None) -> EventPage:
        """List up to `limit` events after a number, oldest first; None: every type."""
        tenant_id, names = self._principal.tenant_id, self._principal.collections
        hidden = () if self._principal.may(Permission.ADMIN) else sorted(one.value for one in ADMIN_EVENTS)
        async with self._database.transaction(tenant_id) as session:
            return await EventRepository(session, tenant_id).list_after(
                seq,
                limit,
                types=[one.value for one in types] if types is not None else None,
                without=hidden,
                collections=names,
            )

    async def last_seq(self) -> int:
        """Return the number of the tenant's newest event."""
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            return await EventRepository(session, tenant_id).last_seq()

    async def follow(self, seq: int, types: Sequence[EventType] | None = None) -> AsyncIterator[list[StoredEvent]]:
        """Yield the events after a number as they come; an empty list whenever there is none for a while."""
        while True:
            page = await self.list_after(seq, _AT_ONCE, types)
            yield page.events
            seq = page.events[-1].seq if page.events else seq
            if len(page.events) < _AT_ONCE:
                await asyncio.sleep(self._pause_s)
