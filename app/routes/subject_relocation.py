"""Serve merges and moves of subjects, which keep the ids of their faces."""

from app.routes import API
from app.routes.deps.callers import CanRegister
from app.routes.deps.services import IdempotencyDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.routes.subjects import Collection, Subject
from app.schemas.subject_relocation import MergedOut, MergeIn

router = strict_router(
    prefix=API + "/collections/{collection}/subjects/{subject}",
    tags=["subjects"],
    responses={**AUTHENTICATED, **problems(404, 409, 422)},
)


@router.post("/merge", summary="Merge a subject into another")
async def merge_subject(
    _: CanRegister,
    collection: Collection,
    subject: Subject,
    body: MergeIn,
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> MergedOut:
    """All faces of the subject move to `into`, with their ids, and the subject goes. Requires `delete` as well.

    - `into` keeps its name, metadata and consent, and takes over a name, metadata keys or a consent that it lacks. The
      earlier expiry of both counts.
    - 422 if `into` lacks a required consent, or if one of both withdrew it. 409 if `into` would have more than 1,000
      faces.
    - Stored answers about the subject are emptied, as if it were erased.
    """

    async def work() -> MergedOut:
        return MergedOut.of(await services.merging().merge(collection, subject, body.into))

    request = ("merge subject", collection, subject, body.into)
    return await idempotency.once(request, 200, work, about=f"{collection}/{body.into}")
