"""Serve uploads of an album's photos to the bucket, past the service."""

from typing import Annotated

from fastapi import Path

from app.routes import API
from app.routes.deps.callers import CanRegister
from app.routes.deps.services import CallerDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.album_uploads import UploadedIn, UploadedOut, UploadsIn, UploadsOut
from app.schemas.fields import CollectionName

router = strict_router(
    prefix=API + "/albums/{album}", tags=["albums"], responses={**AUTHENTICATED, **problems(404, 422, 503)}
)

AlbumId = Annotated[CollectionName, Path()]


@router.post("/uploads", status_code=201, summary="Get forms to upload photos with", responses=problems(409))
async def announce_photos(_: CanRegister, album: AlbumId, body: UploadsIn, caller: CallerDep) -> UploadsOut:
    """For up to 100 photos, each with a form that a program without credentials can send to the bucket, for 15 minutes.

    Needs a bucket. Photos that do not arrive within an hour are forgotten. Safe to repeat: a photo that is not there
    yet receives another form.
    """
    external_ids = body.external_ids()
    return UploadsOut.of(external_ids, await caller.photo_uploads().announce(album, external_ids))


@router.post("/uploads/complete", status_code=202, summary="Say that photos were uploaded")
async def receive_uploads(_: CanRegister, album: AlbumId, body: UploadedIn, caller: CallerDep) -> UploadedOut:
    """Looks for the photos in the bucket; those that are there wait to be processed.

    Without this request, uploaded photos are found within about a minute.
    """
    external_ids = body.distinct()
    return UploadedOut.of(external_ids, await caller.photo_uploads().complete(album, external_ids))
