"""Serve liveness, readiness and metrics, outside /api/v1."""

from typing import Literal

from fastapi import Depends, Response
from pydantic import BaseModel, Field

from app.errors import NotReady, RouteNotFound
from app.routes.deps.callers import StateDep, require_metrics_token
from app.routes.responses import problems
from app.routes.strict_route import strict_router
from app.server.drain import drain
from app.telemetry.metrics import CONTENT_TYPE, expose

router = strict_router(tags=["health"])


class Health(BaseModel):
    """The state of the service."""

    status: str = Field(examples=["ready"])


class Readiness(Health):
    """The state of the service and of what it needs."""

    inference: Literal["here", "ready", "away"] = Field(
        description="Where the networks run: `here`, or at an inference server that is `ready` or `away`. While it is "
        "`away`, requests with photos receive 503 `inference_unavailable`, all others work.",
        examples=["here"],
    )


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Check that the process is alive")
async def healthz() -> Health:
    """Checks neither the models nor the database; see `/readyz`."""
    return Health(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Check that the service is ready", responses=problems(503))
async def readyz(state: StateDep) -> Readiness:
    """Ready means that the models are loaded and the database is migrated and responding.

    An inference server that is away is reported in `inference`, with status 200.
    """
    if drain.has_begun:
        raise NotReady("The service is stopping.")
    await state.health.check_ready()
    has_inference = await state.health.has_inference()
    inference: Literal["here", "ready", "away"] = "here"
    if has_inference is not None:
        inference = "ready" if has_inference else "away"
    return Readiness(status="ready", inference=inference)


@router.get(
    "/metrics",
    summary="Get Prometheus metrics",
    dependencies=[Depends(require_metrics_token)],
    responses=problems(401, RouteNotFound),
    response_class=Response,
)
async def metrics(state: StateDep) -> Response:
    """Requires the metrics token. Responds with 404 if the operator has not set one."""
    return Response(expose() + await state.album_worker.expose_queue(), media_type=CONTENT_TYPE)
