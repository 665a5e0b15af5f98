"""Taking a person along: export and import."""

from datetime import UTC, datetime

from fastapi import APIRouter

from app.routes import API
from app.routes.deps import CanReadEmbeddings, CanRegister, IdempotencyDep, PortabilityDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.subjects import Collection, Subject
from app.schemas.portability import SubjectDocument
from app.schemas.subjects import SubjectOut

IMPORT_PATH = f"{API}/subjects/import"
MAX_IMPORT_BODY = 8 * 1024 * 1024
"""A thousand faces take six."""

router = APIRouter(tags=["privacy"], responses={**AUTHENTICATED, **problems(404)})


@router.get(
    API + "/collections/{collection}/subjects/{subject}/export", summary="Everything held about a person, to take along"
)
async def export_subject(
    _: CanReadEmbeddings, collection: Collection, subject: Subject, portability: PortabilityDep
) -> SubjectDocument:
    return SubjectDocument.of(await portability.export(collection, subject))


@router.post(
    IMPORT_PATH, status_code=201, summary="Take in a person that was exported", responses=problems(409, 413, 422)
)
async def import_subject(
    _: CanRegister, body: SubjectDocument, portability: PortabilityDep, idempotency: IdempotencyDep
) -> SubjectOut:
    async def work() -> SubjectOut:
        faces = [face.face() for face in body.faces]
        return SubjectOut.of(await portability.take_in(body.collection, body.taken_in(datetime.now(UTC)), faces))

    request = ("import", body.model_dump_json())
    return await idempotency.once(request, 201, work, about=f"{body.collection}/{body.subject}")
