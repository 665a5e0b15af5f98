"""Add turns with a tenant's videos to the job queue."""

from uuid import UUID, uuid4

from app.persistence.connections.database import Transaction
from app.persistence.job_queue import JobKind, enqueue
from app.persistence.repositories.video_steps import FETCH_NUMBER, StepKind, VideoStepRepository


async def request_video_turn(session: Transaction, tenant_id: UUID) -> None:
    """Add a turn with the tenant's videos to the job queue; call it in the transaction that adds a step."""
    await enqueue(session, JobKind.VIDEO_TURN, tenant_id, f"videos:{tenant_id}:{uuid4()}")


async def request_fetch(session: Transaction, tenant_id: UUID, video_id: UUID) -> None:
    """Add the step that copies a video which lies elsewhere, and a turn for it."""
    await VideoStepRepository(session, tenant_id).add(video_id, FETCH_NUMBER, StepKind.FETCH)
    await request_video_turn(session, tenant_id)
