"""Serve searches for people in an album, by photos of them or by registered people."""

from typing import Annotated

from fastapi import Depends, Path

from app.domain.decisions import Decision
from app.permissions import Permission
from app.routes import API
from app.routes.deps.callers import CanRecognize
from app.routes.deps.services import CallerDep
from app.routes.form_bodies import form_body
from app.routes.photo_fields import PhotoFields
from app.routes.responses import AUTHENTICATED, WITH_FACE, problems
from app.routes.strict_route import strict_router
from app.routes.uploads import ImageForm, image_form
from app.schemas.album_search import AlbumSearchForm, AlbumSearchOut, PeopleSearchIn
from app.schemas.fields import CollectionName
from app.services.albums.known_people import KnownPerson
from app.services.albums.search import MAX_PEOPLE

router = strict_router(prefix=API + "/albums/{album}", tags=["albums"], responses={**AUTHENTICATED, **problems(404)})

_SELFIES = PhotoFields({"images": MAX_PEOPLE})

AlbumId = Annotated[CollectionName, Path()]
SearchUpload = Annotated[
    ImageForm[AlbumSearchForm], Depends(image_form(AlbumSearchForm, _SELFIES, Permission.RECOGNIZE))
]


@router.post(
    "/search",
    summary="Find the photos that show somebody",
    responses=WITH_FACE,
    openapi_extra=form_body(AlbumSearchForm, _SELFIES),
)
async def search_album(_: CanRecognize, album: AlbumId, upload: SearchUpload, caller: CallerDep) -> AlbumSearchOut:
    """Finds every photo that shows the largest face of each image, not only the best few. Stores nothing.

    For the next page, send the same images again with the cursor.
    """
    form = upload.fields
    images = [image for image in await upload.each("images") if isinstance(image, bytes)]
    result = await caller.album_search().by_photos(
        album,
        images,
        form.page(),
        mode=form.match,
        threshold=form.threshold,
        lowest=Decision(form.decision.value),
        field=upload.field_of("images"),
    )
    return AlbumSearchOut.of(result)


@router.post("/search/people", summary="Find the photos that show registered people", responses=problems(422, 503))
async def search_album_for_people(
    _: CanRecognize, album: AlbumId, body: PeopleSearchIn, caller: CallerDep
) -> AlbumSearchOut:
    """Looks for subjects of a collection, or for stored faces, as `POST /albums/{album}/search` does for photos."""
    people = [KnownPerson(person.collection, person.subject, person.face_id) for person in body.people]
    result = await caller.album_search().by_people(
        album, people, body.page(), mode=body.match, threshold=body.threshold, lowest=Decision(body.decision.value)
    )
    return AlbumSearchOut.of(result)
