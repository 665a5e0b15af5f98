"""Serve sightings: whom the faces of albums show, and what people decide about it."""

from typing import Annotated

from fastapi import Path, Query

from app.domain.sightings import SightingState, Verdict
from app.errors import AlbumNotFound, AppError, OperationNotFound, SightingNotFound, SubjectNotFound
from app.routes import API
from app.routes.deps.callers import CanRead, CanRegister
from app.routes.deps.services import PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import CollectionName, Id, SubjectId
from app.schemas.sightings import (
    ConfirmationIn,
    DecidedSightingOut,
    DecidedSightingsOut,
    SightingDecisionsIn,
    SightingOut,
    SightingPage,
    UndoneOut,
)
from app.services.sightings.sightings import Decided
from app.wiring.caller import TransactionServices

router = strict_router(prefix=API, tags=["albums"], responses={**AUTHENTICATED, **problems(422)})

AlbumId = Annotated[CollectionName, Path()]
Collection = Annotated[CollectionName, Path()]
Subject = Annotated[SubjectId, Path()]
FaceId = Annotated[Id, Path()]
_ONE = problems(SightingNotFound, SubjectNotFound)
State = Annotated[SightingState | None, Query(description="Only sightings in this state.")]


@router.get("/albums/{album}/sightings", summary="List whom an album's faces show", responses=problems(AlbumNotFound))
async def list_album_sightings(
    _: CanRead,
    album: AlbumId,
    page: PageDep,
    services: ServicesDep,
    state: State = None,
    cluster_id: Annotated[Id | None, Query(description="Only faces in this cluster.")] = None,
) -> SightingPage:
    """Returns a page of the album's faces in the order of arrival, with whom they match or may match."""
    found = await services.sightings().list_in_album(album, page, state, cluster_id)
    return SightingPage(items=[SightingOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.get(
    "/collections/{collection}/subjects/{subject}/sightings",
    summary="List where a subject was seen",
    responses=problems(SubjectNotFound),
)
async def list_subject_sightings(
    _: CanRead, collection: Collection, subject: Subject, page: PageDep, services: ServicesDep, state: State = None
) -> SightingPage:
    """Returns a page of the faces, in all albums, that match or may match the subject, oldest first."""
    found = await services.sightings().list_of_subject(collection, subject, page, state)
    return SightingPage(items=[SightingOut.of(one) for one in found.items], next_cursor=found.next_cursor)


@router.post("/sightings/decide", summary="Confirm, reject or ignore sightings")
async def decide_sightings(_: CanRegister, body: SightingDecisionsIn, services: ServicesDep) -> DecidedSightingsOut:
    """Decides up to 1,000 faces; each has an answer or a problem. The machine never changes what a person decided."""
    decided = await services.sightings().decide([one.decided() for one in body.decisions])
    return DecidedSightingsOut.of(decided)


@router.post("/sightings/{face_id}/confirm", summary="Confirm a sighting", responses=_ONE)
async def confirm_sighting(
    _: CanRegister, face_id: FaceId, body: ConfirmationIn, services: ServicesDep
) -> DecidedSightingOut:
    """Says that the face shows the suggested subject, or the one in the body."""
    return await _decide(services, body.confirmed(face_id))


@router.post("/sightings/{face_id}/reject", summary="Reject a sighting", responses=_ONE)
async def reject_sighting(_: CanRegister, face_id: FaceId, services: ServicesDep) -> DecidedSightingOut:
    """Says that the face does not show the suggested subject, who is never suggested for it again."""
    return await _decide(services, Decided(face_id, Verdict.REJECT))


@router.post("/sightings/{face_id}/ignore", summary="Ignore a sighting", responses=_ONE)
async def ignore_sighting(_: CanRegister, face_id: FaceId, services: ServicesDep) -> DecidedSightingOut:
    """Says that it does not matter whom the face shows."""
    return await _decide(services, Decided(face_id, Verdict.IGNORE))


async def _decide(services: TransactionServices, decided: Decided) -> DecidedSightingOut:
    """Decide one sighting; what a list of decisions would say about it is raised."""
    done = await services.sightings().decide([decided])
    (result,) = done.results
    if isinstance(result, AppError):
        raise result
    return DecidedSightingOut(
        operation_id=done.operation_ids[0],
        sighting=SightingOut.of(result),
        stored_face_id=done.stored.get(decided.face_id),
    )


@router.post("/operations/{operation_id}/undo", summary="Undo an operation", responses=problems(OperationNotFound, 409))
async def undo_operation(_: CanRegister, operation_id: Id, services: ServicesDep) -> UndoneOut:
    """Makes everything as it was before. Refused if a person has changed one of its faces since then."""
    return UndoneOut(restored=await services.sightings().undo(operation_id))
