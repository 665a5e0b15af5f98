"""Serve photos of an album that lie in the tenant's own object store."""

from typing import Annotated

from fastapi import Path

from app.routes import API
from app.routes.deps.callers import CanRegister
from app.routes.deps.services import CallerDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.album_sources import StoredPhotosIn
from app.schemas.albums import ReceivedPhotosOut
from app.schemas.fields import CollectionName

router = strict_router(prefix=API + "/albums/{album}", tags=["albums"], responses={**AUTHENTICATED, **problems(404)})

AlbumId = Annotated[CollectionName, Path()]


@router.post(
    "/fetch",
    status_code=202,
    summary="Take photos from your object store",
    responses=problems(409, 413, 422, 503),
)
async def add_stored_photos(
    _: CanRegister, album: AlbumId, body: StoredPhotosIn, caller: CallerDep
) -> ReceivedPhotosOut:
    """Up to 1,000 photos of the object store that `PUT /object-store` names. Each is fetched when its turn comes.

    A photo that cannot be fetched fails and says why; if the store does not respond, it is fetched again later. Safe to
    repeat: a name that was received under the same id is not added twice.
    """
    external_ids = body.ids()
    sources = [(one, body.bucket, name) for one, name in zip(external_ids, body.names, strict=True)]
    return ReceivedPhotosOut.of(external_ids, await caller.photo_sources().receive_each(album, sources), "names")
