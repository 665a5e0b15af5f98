"""List a tenant's events as far as the caller may read them, and watch for new ones."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import replace

from app.domain.events import ADMIN_EVENTS, EventPage, EventType, StoredEvent
from app.permissions import Permission, Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.events import EventRepository

_PAUSE_S = 1.0
_AT_ONCE = 100
_STREAM_S = 15 * 60.0
_FORMER, _BECAME = ("former_collection", "former_subject"), ("became_collection", "became_subject")


class EventService:
    """The events that one caller may read: a limited key sees its collections, and only admins see keys and quotas."""

    def __init__(
        self,
        database: Database,
        principal: Principal,
        *,
        pause_s: float = _PAUSE_S,
        ends_after_s: float = _STREAM_S,
    ) -> None:
        self._database = database
        self._ends_after_s = ends_after_s
        self._principal = principal
        self._pause_s = pause_s

    async def list_after(self, seq: int, limit: int, types: Iterable[EventType] | None = None) -> EventPage:
        """List up to `limit` events after a number, oldest first; None: every type."""
        tenant_id, names = self._principal.tenant_id, self._principal.collections
        hidden = () if self._principal.may(Permission.ADMIN) else sorted(one.value for one in ADMIN_EVENTS)
        async with self._database.transaction(tenant_id) as session:
            page = await EventRepository(session, tenant_id).list_after(
                seq,
                limit,
                types=[one.value for one in types] if types is not None else None,
                without=hidden,
                collections=names,
            )
        return page if names is None else replace(page, events=[_confine(one, names) for one in page.events])

    async def last_seq(self) -> int:
        """Return the number of the tenant's newest event."""
        tenant_id = self._principal.tenant_id
        async with self._database.transaction(tenant_id) as session:
            return await EventRepository(session, tenant_id).last_seq()

    async def follow(self, seq: int, types: Sequence[EventType] | None = None) -> AsyncIterator[list[StoredEvent]]:
        """Yield the events after a number as they come; an empty list whenever there is none for a while.

        It ends after a while, so that a caller who may not read anymore, such as one with a revoked key, must sign in.
        """
        ends_at = time.monotonic() + self._ends_after_s
        while time.monotonic() < ends_at:
            page = await self.list_after(seq, _AT_ONCE, types)
            yield page.events
            seq = page.last_seq
            if len(page.events) < _AT_ONCE:
                await asyncio.sleep(self._pause_s)


def _confine(event: StoredEvent, collections: Collection[str]) -> StoredEvent:
    """Leave out where a subject came from or went to if the caller may not read that collection."""
    data = dict(event.data)
    for names in (_FORMER, _BECAME):
        if names[0] in data and data[names[0]] not in collections:
            for name in names:
                data.pop(name, None)
    return replace(event, data=data)
