"""Serve the export and import of a subject."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.requests import ClientDisconnect

from app.errors import RequestRefused
from app.permissions import Permission, Principal
from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRegister, require_permission
from app.routes.deps.services import CallerDep, IdempotencyDep, ServicesDep
from app.routes.error_handlers import validation_failed
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.routes.subjects import Collection, Subject
from app.schemas.portability import SubjectDocument
from app.schemas.subject_documents import DocumentInvalid, ReadDocument, read_subject_document, write_subject_document
from app.schemas.subjects import SubjectOut
from app.server.state import documents_of

IMPORT_PATH = f"{API}/subjects/import"
MAX_IMPORT_BODY = 16 * 1024 * 1024
"""Bytes; the allowed 2,000 templates take 12 MiB."""

router = strict_router(tags=["privacy"], responses={**AUTHENTICATED, **problems(404)})


@router.get(
    API + "/collections/{collection}/subjects/{subject}/export",
    summary="Export all data about a subject",
    response_model=SubjectDocument,
)
async def export_subject(
    principal: CanReadEmbeddings, collection: Collection, subject: Subject, caller: CallerDep, request: Request
) -> Response:
    """Returns templates with their embeddings, the consent, decisions about faces in albums, and audit entries."""
    async with caller.transaction() as services:
        export = await services.portability().export(collection, subject)
    # Writing takes long: meanwhile nobody must wait for the connection, the subject or the audit trail.
    size = _BYTES_PER_TEMPLATE * len(export.faces)
    body = await documents_of(request).run(principal.tenant_id, size, write_subject_document, export)
    return Response(body, media_type="application/json")


_MAX_ERRORS = 20
_BYTES_PER_TEMPLATE = 6 * 1024


@dataclass(frozen=True, slots=True)
class SentDocument:
    """A parsed document, and the SHA-256 of its body."""

    parsed: ReadDocument
    digest: bytes


async def read_document(
    request: Request, principal: Annotated[Principal, Depends(require_permission(Permission.REGISTER))]
) -> SentDocument:
    """Read the document in the body, after authentication because it may be large."""
    try:
        body = await request.body()
        return await documents_of(request).run(principal.tenant_id, len(body), _read, body)
    except DocumentInvalid as exc:
        # An embedding that is wrong throughout would cause hundreds of errors.
        raise validation_failed(exc.errors[:_MAX_ERRORS], SubjectDocument) from exc
    except ClientDisconnect as exc:
        raise RequestRefused("The client closed the connection before the body was complete.") from exc


def _read(body: bytes) -> SentDocument:
    return SentDocument(read_subject_document(body), hashlib.sha256(body).digest())


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
    sent: Annotated[SentDocument, Depends(read_document)],
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> SubjectOut:
    """Stores the document from an export as a new subject, with new face ids. 409 if the id is taken.

    Decisions about faces that are not in your albums are left out.
    """
    document, faces = sent.parsed.document, sent.parsed.faces

    async def work() -> SubjectOut:
        subject = document.to_subject(datetime.now(UTC))
        decisions = document.decisions()
        imported = await services.portability().import_subject(document.collection, subject, faces, decisions)
        return SubjectOut.of(imported)

    about = f"{document.collection}/{document.subject}"
    return await idempotency.once(("import", sent.digest), 201, work, about=about)
