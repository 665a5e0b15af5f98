"""Serve subjects, their consents and their stored faces."""

from typing import Annotated

from fastapi import Path, Response

from app.routes import API
from app.routes.deps.callers import CanDelete, CanRead, CanRegister
from app.routes.deps.services import CallerDep, IdempotencyDep, PageDep, ServicesDep
from app.routes.deps.subject_filters import METADATA_PARAMETER, SubjectQueryDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import CollectionName, Id, SubjectId
from app.schemas.subjects import (
    ConsentIn,
    ReceiptOut,
    StoredFaceOut,
    StoredFacePage,
    SubjectChangesIn,
    SubjectIn,
    SubjectOut,
    SubjectPage,
    write_subject_page,
)

router = strict_router(
    prefix=API + "/collections/{collection}/subjects", tags=["subjects"], responses={**AUTHENTICATED, **problems(404)}
)

Collection = Annotated[CollectionName, Path()]
Subject = Annotated[SubjectId, Path()]


@router.post("", status_code=201, summary="Create a subject without faces", responses=problems(409, 422))
async def create_subject(
    _: CanRegister, collection: Collection, body: SubjectIn, services: ServicesDep, idempotency: IdempotencyDep
) -> SubjectOut:
    """Searches do not return the subject until `POST /register` stores a face. 409 if the id is taken."""

    async def work() -> SubjectOut:
        created = await services.subjects().create(
            collection, body.subject, body.name, body.metadata, consent=body.consent, expires_at=body.expires_at
        )
        return SubjectOut.of(created)

    request = ("create subject", collection, body.model_dump_json())
    return await idempotency.once(request, 201, work, about=f"{collection}/{body.subject}")


@router.get(
    "",
    summary="List or find subjects",
    responses=problems(422),
    openapi_extra=METADATA_PARAMETER,
    response_model=SubjectPage,
)
async def list_subjects(
    _: CanRead, collection: Collection, page: PageDep, query: SubjectQueryDep, caller: CallerDep
) -> Response:
    """Returns a page of subjects by id, with their metadata, consents and numbers of templates, without faces.

    Several filters must all hold. A cursor is valid with the same filters only.
    """
    found = await caller.subject_listing().list(collection, page, query)
    return Response(write_subject_page(found), media_type="application/json")


@router.get("/{subject}", summary="Get a subject")
async def get_subject(_: CanRead, collection: Collection, subject: Subject, services: ServicesDep) -> SubjectOut:
    """Returns the name, metadata, consent, expiry and number of templates."""
    return SubjectOut.of(await services.subjects().get(collection, subject))


@router.patch("/{subject}", summary="Change a subject's id, name, metadata or expiry", responses=problems(409, 422))
async def change_subject(
    _: CanRegister,
    collection: Collection,
    subject: Subject,
    body: SubjectChangesIn,
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> SubjectOut:
    """Omitted fields keep their values; null clears a field. An earlier expiry requires the permission `delete`, too.

    A new id (`subject`) keeps all faces and their ids. 409 if it is taken. The old id is free then, and stored answers
    about it are emptied, as if it were erased. An anonymous subject has no other id: assign its face instead.
    """

    async def work() -> SubjectOut:
        return SubjectOut.of(await services.subjects().change(collection, subject, body.changes()))

    request = ("change subject", collection, subject, body.model_dump_json(exclude_unset=True))
    return await idempotency.once(request, 200, work, about=f"{collection}/{body.subject or subject}")


@router.put("/{subject}/consent", summary="Record a person's consent", responses=problems(422))
async def record_consent(
    _: CanRegister,
    collection: Collection,
    subject: Subject,
    body: ConsentIn,
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> SubjectOut:
    """Stores your reference to the proof with the time and the caller, and replaces an earlier consent."""

    async def work() -> SubjectOut:
        return SubjectOut.of(await services.subjects().record_consent(collection, subject, body.reference))

    request = ("record consent", collection, subject, body.reference)
    return await idempotency.once(request, 200, work, about=f"{collection}/{subject}")


@router.delete("/{subject}/consent", summary="Withdraw a person's consent and erase their faces")
async def withdraw_consent(
    _: CanDelete, collection: Collection, subject: Subject, services: ServicesDep, idempotency: IdempotencyDep
) -> SubjectOut:
    """The subject remains without faces, with a record of the withdrawal."""

    async def work() -> SubjectOut:
        return SubjectOut.of(await services.subjects().withdraw_consent(collection, subject))

    request = ("withdraw consent", collection, subject)
    return await idempotency.once(request, 200, work, about=f"{collection}/{subject}")


@router.delete("/{subject}", summary="Erase a subject and all their faces")
async def delete_subject(
    _: CanDelete, collection: Collection, subject: Subject, services: ServicesDep, idempotency: IdempotencyDep
) -> ReceiptOut:
    """Returns a signed receipt of the erasure."""

    async def work() -> ReceiptOut:
        return ReceiptOut.of(await services.subjects().delete(collection, subject))

    return await idempotency.once(("delete subject", collection, subject), 200, work)


@router.get("/{subject}/faces", summary="List a subject's stored faces", responses=problems(422))
async def list_faces(
    _: CanRead, collection: Collection, subject: Subject, page: PageDep, services: ServicesDep
) -> StoredFacePage:
    """Returns a page of stored faces with their quality, without embeddings."""
    found = await services.subjects().list_faces(collection, subject, page)
    return StoredFacePage(items=[StoredFaceOut.of(item) for item in found.items], next_cursor=found.next_cursor)


@router.get("/{subject}/faces/{face_id}", summary="Get a stored face")
async def get_face(
    _: CanRead, collection: Collection, subject: Subject, face_id: Id, services: ServicesDep
) -> StoredFaceOut:
    """Returns the recognizer, quality and time of the registration, without the embedding."""
    return StoredFaceOut.of(await services.subjects().get_face(collection, subject, face_id))


@router.delete("/{subject}/faces/{face_id}", status_code=204, summary="Erase a stored face")
async def delete_face(
    _: CanDelete,
    collection: Collection,
    subject: Subject,
    face_id: Id,
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> None:
    """The subject remains, unless it is anonymous and has no other face."""
    request = ("delete face", collection, subject, str(face_id))
    await idempotency.once(request, 204, lambda: services.subjects().delete_face(collection, subject, face_id))
