"""Serve a collection's recognizers: show them, switch to another, and erase the templates of one."""

from typing import Annotated

from fastapi import Path, Query

from app.routes import API
from app.routes.deps.callers import CanAdmin, CanDelete, CanRead
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import CollectionName, Label
from app.schemas.recognizers import AcceptMissing, MissingPage, RecognizersIn, RecognizersOut

router = strict_router(
    prefix=f"{API}/collections/{{collection}}/recognizers",
    tags=["collections"],
    responses={**AUTHENTICATED, **problems(404)},
)

Name = Annotated[CollectionName, Path(alias="collection")]
Recognizer = Annotated[Label, Path(description="The recognizer's name.")]


@router.get("", summary="Get a collection's recognizers")
async def get_recognizers(_: CanRead, name: Name, services: ServicesDep) -> RecognizersOut:
    """Returns the recognizer in use, the secondary one, and how many faces each recognizer has embedded."""
    return RecognizersOut.of(await services.recognizers().get(name))


@router.get(
    "/{recognizer}/missing", summary="List subjects without templates from a recognizer", responses=problems(422)
)
async def list_missing(
    _: CanRead, name: Name, recognizer: Recognizer, page: PageDep, services: ServicesDep
) -> MissingPage:
    """Returns the subjects that have templates from the recognizer in use, but none from this one.

    After a switch to this recognizer, searches would not find them.
    """
    missing = await services.recognizers().list_missing(name, recognizer, page)
    return MissingPage(items=missing.items, next_cursor=missing.next_cursor)


@router.put(
    "", summary="Switch a collection to another recognizer or add a secondary one", responses=problems(409, 422)
)
async def choose_recognizers(_: CanAdmin, name: Name, body: RecognizersIn, services: ServicesDep) -> RecognizersOut:
    """From the next request on, searches use `in_use`, and `secondary` embeds new faces too.

    Refused with 409 if some subjects have no templates from the new recognizer, unless `accept_missing` is true.
    """
    return RecognizersOut.of(
        await services.recognizers().choose(name, body.recognizers(), accept_missing=body.accept_missing)
    )


@router.delete("/{recognizer}", status_code=204, summary="Erase a recognizer's templates", responses=problems(409, 422))
async def erase_recognizer(
    _: CanDelete,
    name: Name,
    recognizer: Recognizer,
    services: ServicesDep,
    accept_missing: Annotated[AcceptMissing, Query()] = False,
) -> None:
    """Refused with 409 for the recognizer in use and the secondary one.

    Also refused with 409 if subjects would lose their last templates, unless `accept_missing` is true.
    """
    await services.recognizers().erase(name, recognizer, accept_missing=accept_missing)
