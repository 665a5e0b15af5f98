"""Ask for a tenant's turn in the job queue."""

from uuid import UUID

from app.persistence.connections.database import Transaction
from app.persistence.job_queue import JobKind, enqueue
from app.persistence.repositories.photos import PhotoRepository


async def request_turn(session: Transaction, tenant_id: UUID) -> None:
    """Add the tenant's turn to the job queue if it has none; call it last in a transaction that receives photos."""
    number = await PhotoRepository(session, tenant_id).begin_turn()
    if number is not None:
        await enqueue(session, JobKind.PHOTO_TURN, tenant_id, f"turn:{tenant_id}:{number}")
