"""The recognizers of a collection: how it stands, going over to another and back, erasing what one left."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.routes import API
from app.routes.deps.callers import CanAdmin, CanDelete, CanRead
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.schemas.fields import CollectionName, Label
from app.schemas.recognizers import AcceptMissing, MissingPage, RecognizersIn, RecognizersOut

router = APIRouter(
    prefix=f"{API}/collections/{{collection}}/recognizers",
    tags=["collections"],
    responses={**AUTHENTICATED, **problems(404)},
)

Name = Annotated[CollectionName, Path(alias="collection")]
Recognizer = Annotated[Label, Path()]


@router.get("", summary="Which recognizers a collection is searched and stored with")
async def get_recognizers(_: CanRead, name: Name, services: ServicesDep) -> RecognizersOut:
    return RecognizersOut.of(await services.recognizers().get(name))


@router.get("/{recognizer}/missing", summary="Who would not be found with a recognizer", responses=problems(422))
async def list_missing(
    _: CanRead, name: Name, recognizer: Recognizer, page: PageDep, services: ServicesDep
) -> MissingPage:
    """The subjects that have faces of the recognizer in use and none of this one."""
    found = await services.recognizers().list_missing(name, recognizer, page)
    return MissingPage(items=found.items, next_cursor=found.next_cursor)


@router.put("", summary="Go over to another recognizer, or store with two", responses=problems(409, 422))
async def choose_recognizers(_: CanAdmin, name: Name, body: RecognizersIn, services: ServicesDep) -> RecognizersOut:
    """Faces are searched with `in_use` from the next request on, and registered with `beside` as well.

    Refused while subjects have no face stored with the new one, unless you accept that they are not found.
    """
    return RecognizersOut.of(
        await services.recognizers().choose(name, body.recognizers(), accept_missing=body.accept_missing)
    )


@router.delete(
    "/{recognizer}", status_code=204, summary="Erase what a recognizer made of the faces", responses=problems(409, 422)
)
async def erase_recognizer(
    _: CanDelete,
    name: Name,
    recognizer: Recognizer,
    services: ServicesDep,
    accept_missing: Annotated[AcceptMissing, Query()] = False,
) -> None:
    await services.recognizers().erase(name, recognizer, accept_missing=accept_missing)
