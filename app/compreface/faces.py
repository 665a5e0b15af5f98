"""Add, list and erase the stored faces of subjects. An `image_id` is the id of a stored face."""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from app.compreface import MAX_DELETED_FACES
from app.compreface.access import allow
from app.compreface.call import Call, Result
from app.compreface.options import MinScore, SubjectDep
from app.compreface.routing import serve
from app.errors import FaceNotFound, InvalidParameter, PhotoNotFound
from app.permissions import Permission
from app.schemas.subject_names import display_name, from_subject_id
from app.services.photos.face_reader import FaceChoice
from app.wiring.caller import TransactionServices

router = APIRouter()

CanRead = Annotated[Call, Depends(allow(Permission.READ))]
CanRegister = Annotated[Call, Depends(allow(Permission.REGISTER))]
CanDelete = Annotated[Call, Depends(allow(Permission.DELETE))]

_PAGE, _MAX_PAGE, _MAX_OFFSET = 20, 1_000, 2**31


@serve(router, "POST", "/recognition/faces", status=201)
async def add_face(call: CanRegister, subject: SubjectDep, min_score: MinScore = 0.0) -> Result:
    if subject is None:
        raise InvalidParameter("subject: is missing; name the subject in the query.", field="subject")
    name = display_name(from_subject_id(subject), subject)
    async with call.photos("file") as (image,), call.changing() as services:

        async def work() -> Result:
            done = await services.registration().register(
                [image],
                field="file",
                collection=call.collection,
                subject=subject,
                name=name,
                metadata=None,
                choice=FaceChoice.ONLY,
                min_score=min_score,
            )
            return _show(done.accepted[0].face_id, subject)

        identity = ("add face", subject, str(min_score), image)
        stored: Result = await call.run_once(services, identity, work, status=201, about=subject)
        return stored


@serve(router, "GET", "/recognition/faces")
async def list_faces(
    call: CanRead,
    subject: SubjectDep,
    page: Annotated[int, Query(ge=0)] = 0,
    size: Annotated[int, Query(ge=1)] = _PAGE,
) -> Result:
    size = min(size, _MAX_PAGE)
    if page * size > _MAX_OFFSET:
        raise InvalidParameter(f"page: {page} is beyond the maximum, {_MAX_OFFSET // size}.", field="page")
    async with call.reading() as services:
        found, total = await services.stored_faces().list_numbered(
            call.collection, page=page, size=size, subject=subject
        )
    return {
        "faces": [_show(face.id, face.subject) for face in found],
        "page_number": page,
        "page_size": size,
        "total_pages": -(-total // size),
        "total_elements": total,
    }


@serve(router, "DELETE", "/recognition/faces")
async def delete_faces(call: CanDelete, subject: SubjectDep) -> Result:
    async with call.changing() as services:

        async def work() -> Result:
            return {"deleted": await services.stored_faces().erase_named(call.collection, subject)}

        deleted: Result = await call.run_once(services, ("delete faces", subject or ""), work)
        return deleted


@serve(router, "POST", "/recognition/faces/delete")
async def delete_listed_faces(call: CanDelete) -> list[Result]:
    ids = _read_ids(await call.document())
    async with call.changing() as services:

        async def work() -> list[Result]:
            return await _erase(services, call.collection, ids)

        identity = ("delete listed faces", *map(str, ids))
        deleted: list[Result] = await call.run_once(services, identity, work)
        return deleted


@serve(router, "DELETE", "/recognition/faces/{image_id}")
async def delete_face(image_id: UUID, call: CanDelete) -> Result:
    async with call.changing() as services:

        async def work() -> Result:
            erased = await _erase(services, call.collection, [image_id])
            if not erased:
                raise FaceNotFound(f"image_id: the collection has no face {image_id}.")
            return erased[0]

        deleted: Result = await call.run_once(services, ("delete face", str(image_id)), work)
        return deleted


@serve(router, "GET", "/recognition/faces/{image_id}/img")
async def download_face(image_id: UUID, call: CanRead) -> None:
    raise PhotoNotFound("Vultus stores embeddings, not the photos of registered faces: there is nothing to download.")


async def _erase(services: TransactionServices, collection: str, ids: Iterable[UUID]) -> list[Result]:
    """Erase those of the faces that exist and belong to named subjects."""
    found = await services.stored_faces().find_named(collection, list(ids))
    subjects = services.subjects()
    for face in sorted(found, key=lambda face: face.subject):  # one order of locks for all requests
        await subjects.delete_face(collection, face.subject, face.id)
    return [_show(face.id, face.subject) for face in found]


def _read_ids(sent: Any) -> list[UUID]:
    if not isinstance(sent, list) or not 1 <= len(sent) <= MAX_DELETED_FACES:
        raise InvalidParameter(f"The body must be an array of 1 to {MAX_DELETED_FACES} ids of images.")
    try:
        return list(dict.fromkeys(UUID(str(one)) for one in sent))
    except ValueError:
        raise InvalidParameter("The body must be an array of ids of images, each a UUID.") from None


def _show(face_id: UUID, subject: str) -> Result:
    return {"image_id": str(face_id), "subject": from_subject_id(subject)}
