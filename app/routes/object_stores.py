"""Serve the tenant's object store, which the Rekognition API fetches `S3Object` photos from."""

from app.errors import ObjectStoreNotFound
from app.routes import API
from app.routes.deps.callers import CanAdmin
from app.routes.deps.services import ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.object_stores import ObjectStoreIn, ObjectStoreOut

router = strict_router(prefix=f"{API}/object-store", tags=["object store"], responses=AUTHENTICATED)


@router.get("", summary="Get your object store", responses=problems(ObjectStoreNotFound))
async def get_object_store(_: CanAdmin, services: ServicesDep) -> ObjectStoreOut:
    """Returns the endpoint, region and access key, without the secret. 404 if none is set."""
    return ObjectStoreOut.of(await services.object_stores().get())


@router.put("", summary="Set your object store", responses=problems(422))
async def set_object_store(_: CanAdmin, body: ObjectStoreIn, services: ServicesDep) -> ObjectStoreOut:
    """The Rekognition API fetches `S3Object` photos from this S3-compatible server."""
    return ObjectStoreOut.of(
        await services.object_stores().put(body.store(), body.secret_access_key.get_secret_value())
    )


@router.delete(
    "", status_code=204, summary="Delete your object store and its credentials", responses=problems(ObjectStoreNotFound)
)
async def delete_object_store(_: CanAdmin, services: ServicesDep) -> None:
    """From then on, the Rekognition API refuses `S3Object` photos."""
    await services.object_stores().delete()
