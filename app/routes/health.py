"""Liveness and readiness, outside /api/v1 and open to everybody."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.routes.deps import HealthDep
from app.routes.responses import problems

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The one word a probe looks for."""

    status: str


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    return Health(status="ok")


@router.get("/readyz", summary="Can it do its work: model loaded, database migrated?", responses=problems(503))
async def readyz(health: HealthDep) -> Health:
    await health.check_ready()
    return Health(status="ready")
