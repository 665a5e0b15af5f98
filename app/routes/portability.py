"""Serve the export and import of a subject."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.errors import RequestRefused
from app.permissions import Permission, Principal
from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRegister, require_permission
from app.routes.deps.services import IdempotencyDep, ServicesDep
from app.routes.error_handlers import validation_failed
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.routes.subjects import Collection, Subject
from app.schemas.portability import SubjectDocument
from app.schemas.subjects import SubjectOut

IMPORT_PATH = f"{API}/subjects/import"
MAX_IMPORT_BODY = 16 * 1024 * 1024
"""Bytes; the allowed 2,000 templates take 12 MiB."""

router = strict_router(tags=["privacy"], responses={**AUTHENTICATED, **problems(404)})


@router.get(API + "/collections/{collection}/subjects/{subject}/export", summary="Export all data about a subject")
async def export_subject(
    _: CanReadEmbeddings, collection: Collection, subject: Subject, services: ServicesDep
) -> SubjectDocument:
    """Returns templates with their embeddings, the consent and the latest audit entries. Photos are never stored."""
    return SubjectDocument.of(await services.portability().export(collection, subject))


_MAX_ERRORS = 20


async def read_document(
    request: Request, _: Annotated[Principal, Depends(require_permission(Permission.REGISTER))]
) -> SubjectDocument:
    """Read the document in the body, after authentication because it may be large."""
    try:
        return SubjectDocument.model_validate_json(await request.body())
    except ValidationError as exc:
        # An embedding that is wrong throughout would cause hundreds of errors.
        raise validation_failed([dict(error) for error in exc.errors()[:_MAX_ERRORS]], SubjectDocument) from exc
    except ClientDisconnect as exc:
        raise RequestRefused("The client closed the connection before the body was complete.") from exc


_BODY = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SubjectDocument"}}},
    "required": True,
}


@router.post(
    IMPORT_PATH,
    status_code=201,
    summary="Import an exported subject",
    responses=problems(409, 413, 422),
    openapi_extra={"requestBody": _BODY},
)
async def import_subject(
    _: CanRegister,
    body: Annotated[SubjectDocument, Depends(read_document)],
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> SubjectOut:
    async def work() -> SubjectOut:
        faces = [face.face() for face in body.faces]
        return SubjectOut.of(
            await services.portability().import_subject(body.collection, body.to_subject(datetime.now(UTC)), faces)
        )

    request = ("import", body.model_dump_json())
    return await idempotency.once(request, 201, work, about=f"{body.collection}/{body.subject}")
