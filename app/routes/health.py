"""Liveness, readiness and metrics, outside /api/v1."""

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app.routes.deps.callers import StateDep, require_metrics_token
from app.routes.responses import problems
from app.telemetry.metrics import CONTENT_TYPE, expose

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The one word a probe looks for."""

    status: str


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    return Health(status="ok")


@router.get("/readyz", summary="Can it do its work: model loaded, database migrated?", responses=problems(503))
async def readyz(state: StateDep) -> Health:
    await state.health.check_ready()
    return Health(status="ready")


@router.get(
    "/metrics",
    summary="For Prometheus, with the metrics token",
    dependencies=[Depends(require_metrics_token)],
    responses=problems(401, 404),
    response_class=Response,
)
async def metrics() -> Response:
    return Response(expose(), media_type=CONTENT_TYPE)
