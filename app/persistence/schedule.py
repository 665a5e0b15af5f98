"""Let one of all processes, on any host, do periodic work: each asks, and one is told to."""

from datetime import timedelta
from enum import StrEnum

from app.persistence.connections.database import Database

_CLAIM = """
    INSERT INTO scheduled_work AS work (name, due_at) VALUES ($1, now() + $2)
    ON CONFLICT (name) DO UPDATE SET due_at = now() + $2 WHERE work.due_at <= now()
    RETURNING name
"""


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
    return await database.fetch_row(_CLAIM, work.value, every) is not None
