"""Serve the tenant's options for the Rekognition protocol."""

from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.rekognition_options import RekognitionOptionsBody

router = strict_router(prefix=f"{API}/rekognition-options", tags=["rekognition options"], responses=AUTHENTICATED)


@router.get("", summary="Get your options for the Rekognition API")
async def get_rekognition_options(_: CanAdmin, services: ServicesDep) -> RekognitionOptionsBody:
    """All options are off until an admin turns them on."""
    return RekognitionOptionsBody.of(await services.protocol_options().get())


@router.put("", summary="Replace your options for the Rekognition API", responses=problems(422))
async def set_rekognition_options(
    _: CanAdmin, body: RekognitionOptionsBody, services: ServicesDep
) -> RekognitionOptionsBody:
    """Options that you omit are turned off."""
    return RekognitionOptionsBody.of(await services.protocol_options().set(body.options()))
