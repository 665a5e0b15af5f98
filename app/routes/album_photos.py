"""Serve the photos of an album: receive, list, retry and erase them."""

from typing import Annotated

from fastapi import BackgroundTasks, Depends, Path, Query, Response

from app.domain.albums import PhotoState
from app.errors import AlbumNotFound, AppError, FaceNotFound, InvalidParameter
from app.permissions import Permission
from app.routes import API
from app.routes.deps.callers import CanDelete, CanRead, CanRegister, StateDep
from app.routes.deps.services import CallerDep, PageDep, ServicesDep
from app.routes.form_bodies import form_body
from app.routes.photo_fields import PhotoFields
from app.routes.responses import AUTHENTICATED, WITH_PHOTO, problems
from app.routes.strict_route import strict_router
from app.routes.uploads import ImageForm, image_form
from app.schemas.albums import (
    AlbumPhotoForm,
    AlbumPhotoOut,
    AlbumPhotoPage,
    AlbumPhotosForm,
    ReceivedPhotoOut,
    ReceivedPhotosOut,
    RetriedOut,
)
from app.schemas.fields import CollectionName, ExternalImageId, Id

router = strict_router(
    prefix=API + "/albums/{album}", tags=["albums"], responses={**AUTHENTICATED, **problems(AlbumNotFound)}
)

MAX_PHOTOS = 100
_ONE, _MANY = PhotoFields({"image": 1}), PhotoFields({"images": MAX_PHOTOS})

AlbumId = Annotated[CollectionName, Path()]
ExternalId = Annotated[ExternalImageId, Path()]
State = Annotated[PhotoState | None, Query(description="Only photos in this state.")]
OneUpload = Annotated[ImageForm[AlbumPhotoForm], Depends(image_form(AlbumPhotoForm, _ONE, Permission.REGISTER))]
ManyUpload = Annotated[ImageForm[AlbumPhotosForm], Depends(image_form(AlbumPhotosForm, _MANY, Permission.REGISTER))]


@router.post(
    "/photos",
    status_code=202,
    summary="Send several photos",
    responses={**WITH_PHOTO, **problems(409)},
    openapi_extra=form_body(AlbumPhotosForm, _MANY),
)
async def add_photos(_: CanRegister, album: AlbumId, upload: ManyUpload, caller: CallerDep) -> ReceivedPhotosOut:
    """Up to 100 photos; each is received or has a problem of its own. They are processed in the background.

    Safe to repeat: a photo that was received under the same id is not added twice.
    """
    ids, images = upload.fields.external_ids, await upload.each("images")
    if len(ids) != len(images):
        raise InvalidParameter(
            f"external_ids: {len(ids)} ids were sent for {len(images)} photos; send one for each.", field="external_ids"
        )
    repeated = next((one for place, one in enumerate(ids) if one in ids[:place]), None)
    if repeated is not None:
        raise InvalidParameter(
            f"external_ids: {repeated!r} is there twice; each photo needs its own.", field="external_ids"
        )
    sent = [(one, image) for one, image in zip(ids, images, strict=True) if isinstance(image, bytes)]
    received = iter(await caller.photo_intake().receive_each(album, sent))
    results = [image if isinstance(image, AppError) else next(received) for image in images]
    return ReceivedPhotosOut.of(ids, results, upload.field_of("images"))


@router.put(
    "/photos/{external_id:path}",
    status_code=202,
    summary="Send a photo",
    responses={
        **WITH_PHOTO,
        **problems(409),
        200: {"model": ReceivedPhotoOut, "description": "The same photo was received before; it is not added again."},
    },
    openapi_extra=form_body(AlbumPhotoForm, _ONE),
)
async def put_photo(
    _: CanRegister, album: AlbumId, external_id: ExternalId, upload: OneUpload, caller: CallerDep, response: Response
) -> ReceivedPhotoOut:
    """The photo is processed in the background, and deleted then; its faces stay.

    Safe to repeat, so that an interrupted upload goes on where it stopped. A photo that failed is received again.
    """
    received = await caller.photo_intake().receive(album, external_id, await upload.image("image"))
    response.status_code = 202 if received.is_new else 200
    return ReceivedPhotoOut.received(received)


@router.get("/photos", summary="List an album's photos", responses=problems(422))
async def list_photos(
    _: CanRead, album: AlbumId, page: PageDep, services: ServicesDep, state: State = None
) -> AlbumPhotoPage:
    """Returns a page of photos in the order of arrival: their states, sizes and faces, and why those failed that did.

    A cursor is valid with the same state only.
    """
    found = await services.album_photos().list(album, page, state)
    return AlbumPhotoPage(items=[AlbumPhotoOut.of(photo) for photo in found.items], next_cursor=found.next_cursor)


@router.get("/photos/{external_id:path}", summary="Get a photo's state", responses=problems(422))
async def get_photo(_: CanRead, album: AlbumId, external_id: ExternalId, services: ServicesDep) -> AlbumPhotoOut:
    """Returns whether the photo waits, is done or failed, and how many faces are stored."""
    return AlbumPhotoOut.of(await services.album_photos().get(album, external_id))


@router.delete("/photos/{external_id:path}", status_code=204, summary="Erase a photo", responses=problems(422))
async def delete_photo(
    _: CanDelete,
    album: AlbumId,
    external_id: ExternalId,
    services: ServicesDep,
    state: StateDep,
    background: BackgroundTasks,
) -> None:
    """Erases the photo with its faces, whoever they were assigned to, also while it waits or is processed."""
    await services.album_photos().delete(album, external_id)
    background.add_task(state.album_worker.empty_spool)


@router.get(
    "/faces/{face_id}/picture",
    summary="Get a picture of a face",
    response_class=Response,
    responses={
        **problems(FaceNotFound, 413, 422, 503),
        200: {"content": {"image/jpeg": {}}, "description": "A JPEG."},
    },
)
async def get_face_picture(_: CanRead, album: AlbumId, face_id: Id, caller: CallerDep) -> Response:
    """Returns a JPEG of 160 x 160 pixels, if the album was created, or the video sent, with `keep=crops`. Otherwise, a
    photo that lies in your object store (`POST .../fetch`) is fetched for it, and not stored."""
    picture = await caller.face_pictures().get(album, face_id)
    return Response(picture, media_type="image/jpeg", headers={"cache-control": "private, no-store"})


@router.post("/retry", status_code=202, summary="Process failed photos again", responses=problems(503))
async def retry_photos(_: CanRegister, album: AlbumId, caller: CallerDep) -> RetriedOut:
    """Processes those that failed for a reason that may pass, such as a full quota. The others must be sent again."""
    return RetriedOut(retried=await caller.photo_intake().retry(album))
