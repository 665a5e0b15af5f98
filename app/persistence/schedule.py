"""Let one of all processes, on any host, do periodic work: each asks, and one is told to."""

from datetime import timedelta
from enum import StrEnum

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from app.persistence.connections.database import Database
from app.persistence.models import ScheduledWorkModel


class Work(StrEnum):
    """Work that one process does for all."""

    RETENTION = "retention"
    JOB_LOG = "job_log"
    EVENTS = "events"
    WEBHOOK_TURNS = "webhook_turns"


async def claim(database: Database, work: Work, every: timedelta) -> bool:
    """Return whether this process shall do the work now; for this long, no other is told to.

    If the process ends before the work is done, another one does it the next time.
    """
    due_at = func.now() + every
    statement = insert(ScheduledWorkModel).values(name=work.value, due_at=due_at)
    statement = statement.on_conflict_do_update(
        index_elements=[ScheduledWorkModel.name],
        set_={"due_at": due_at},
        where=ScheduledWorkModel.due_at <= func.now(),
    )
    async with database.transaction() as session:
        return await session.scalar(statement.returning(ScheduledWorkModel.name)) is not None
