"""Tell a tenant once a month that a quota refused a request."""

from datetime import UTC, datetime
from uuid import UUID

from app.domain.events import Event, EventType
from app.persistence.connections.database import Database
from app.persistence.repositories.events import EventRepository
from app.services.background import log_and_continue


class QuotaNotices:
    """Writes `quota.reached`; one per process. The refused request's own transaction was rolled back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._month = ""
        self._told: set[tuple[UUID, str]] = set()

    async def note(self, tenant_id: UUID, quota: str) -> None:
        """Write the event unless it was written this month; a failure is logged, and the next refusal tries again."""
        now = datetime.now(UTC)
        month = now.strftime("%Y-%m")
        if month != self._month:
            self._month, self._told = month, set()
        if (tenant_id, quota) in self._told:
            return
        event = Event(EventType.QUOTA_REACHED, ids={"quota": quota})
        with log_and_continue("quota_not_announced"):
            async with self._database.transaction(tenant_id) as session:
                events = EventRepository(session, tenant_id)
                if not await events.has_since(event, now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)):
                    await events.add([event])
            self._told.add((tenant_id, quota))
