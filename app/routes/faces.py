"""Serve the stored faces of a collection by photo: list them and erase them."""

from typing import Annotated

from fastapi import Path, Query

from app.errors import InvalidParameter
from app.routes import API
from app.routes.deps.callers import CanDelete, CanRead
from app.routes.deps.services import IdempotencyDep, PageDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import CollectionName, ExternalImageId, Id
from app.schemas.subjects import CollectionFaceOut, CollectionFacePage, ReceiptOut
from app.services.people.stored_faces import PhotoFilter

router = strict_router(
    prefix=API + "/collections/{collection}/faces",
    tags=["subjects"],
    responses={**AUTHENTICATED, **problems(404, 422)},
)

Collection = Annotated[CollectionName, Path()]
ExternalId = Annotated[ExternalImageId | None, Query(description="Only faces of the photos with this id of yours.")]
ImageId = Annotated[
    Id | None,
    Query(description="Only faces of this photo.", examples=["3d1c58f0-5b5e-4a4c-9d0a-1f2b7c1a9e66"]),
]


@router.get("", summary="List a collection's stored faces")
async def list_collection_faces(
    _: CanRead,
    collection: Collection,
    page: PageDep,
    services: ServicesDep,
    external_image_id: ExternalId = None,
    image_id: ImageId = None,
) -> CollectionFacePage:
    """Returns a page of faces of named and anonymous subjects, oldest first, without embeddings.

    A cursor is valid with the same filters only.
    """
    photo = PhotoFilter(external_image_id, image_id)
    found = await services.stored_faces().list(collection, page, photo=photo)
    return CollectionFacePage(items=[CollectionFaceOut.of(face) for face in found.items], next_cursor=found.next_cursor)


@router.delete("", summary="Erase the stored faces of a photo")
async def delete_collection_faces(
    _: CanDelete,
    collection: Collection,
    services: ServicesDep,
    idempotency: IdempotencyDep,
    external_image_id: ExternalId = None,
    image_id: ImageId = None,
) -> ReceiptOut:
    """Erases the faces of every subject from the photo, and returns a signed receipt. Send at least one of the ids.

    Named subjects stay, without these faces; anonymous subjects without a face go.
    """
    if external_image_id is None and image_id is None:
        raise InvalidParameter(
            "external_image_id, image_id: both are missing; send at least one of them.", field="external_image_id"
        )
    photo = PhotoFilter(external_image_id, image_id)

    async def work() -> ReceiptOut:
        return ReceiptOut.of(await services.stored_faces().erase_photo(collection, photo))

    request = ("delete faces", collection, external_image_id or "", str(image_id or ""))
    return await idempotency.once(request, 200, work)
