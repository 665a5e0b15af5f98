"""Serve collections: create, list, calibrate and delete them."""

from typing import Annotated

from fastapi import Path

from app.routes import API
from app.routes.deps.callers import CanAdmin, CanDelete, CanRead, CanRegister
from app.routes.deps.services import CallerDep, IdempotencyDep, PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.collections import CollectionIn, CollectionOut, CollectionPage, DecisionPolicyIn
from app.schemas.fields import CollectionName

router = strict_router(prefix=f"{API}/collections", tags=["collections"], responses=AUTHENTICATED)

Name = Annotated[CollectionName, Path(alias="collection")]


@router.post("", status_code=201, summary="Create a collection", responses=problems(409, 422))
async def create_collection(
    _: CanRegister, body: CollectionIn, services: ServicesDep, idempotency: IdempotencyDep
) -> CollectionOut:
    """Each collection is searched separately. A new tenant already has the collection `default`."""

    async def work() -> CollectionOut:
        return CollectionOut.of(await services.collections().create(body.name))

    return await idempotency.once(("create collection", body.name), 201, work)


@router.get("", summary="List collections by name", responses=problems(422))
async def list_collections(_: CanRead, page: PageDep, services: ServicesDep) -> CollectionPage:
    """Returns a page of collections with their numbers of subjects and templates."""
    found = await services.collections().list(page)
    return CollectionPage(items=[CollectionOut.of(item) for item in found.items], next_cursor=found.next_cursor)


@router.get("/{collection}", summary="Get a collection", responses=problems(404))
async def get_collection(_: CanRead, name: Name, services: ServicesDep) -> CollectionOut:
    """Returns its size, its recognizers, its accepted false-match rates and its own calibration."""
    return CollectionOut.of(await services.collections().get(name))


@router.put("/{collection}/policy", summary="Set a collection's false-match rates", responses=problems(404, 422))
async def set_decision_policy(_: CanAdmin, name: Name, body: DecisionPolicyIn, services: ServicesDep) -> CollectionOut:
    """The thresholds for `match` and `review` follow from these rates, the collection's size and the calibration."""
    return CollectionOut.of(await services.collections().set_policy(name, body.policy()))


@router.post(
    "/{collection}/calibration",
    summary="Calibrate a collection on its own faces",
    responses=problems(404, 422),
)
async def calibrate_collection(_: CanAdmin, name: Name, caller: CallerDep) -> CollectionOut:
    """Compares stored faces of different subjects. From then on, the result replaces the recognizer's calibration."""
    return CollectionOut.of(await caller.calibrator().calibrate(name))


@router.delete("/{collection}/calibration", summary="Delete a collection's own calibration", responses=problems(404))
async def delete_calibration(_: CanAdmin, name: Name, services: ServicesDep) -> CollectionOut:
    """From then on, the recognizer's calibration is used again."""
    return CollectionOut.of(await services.calibration().forget(name))


@router.delete(
    "/{collection}", status_code=204, summary="Erase a collection with all its subjects", responses=problems(404)
)
async def delete_collection(_: CanDelete, name: Name, services: ServicesDep, idempotency: IdempotencyDep) -> None:
    """The subjects' faces, metadata and consents are erased with them. This cannot be undone."""
    await idempotency.once(("delete collection", name), 204, lambda: services.collections().delete(name))
