"""Serve merges and moves of subjects, which keep the ids of their faces."""

from app.routes import API
from app.routes.deps.callers import CanRegister
from app.routes.deps.services import IdempotencyDep, ServicesDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.routes.subjects import Collection, Subject
from app.schemas.subject_relocation import MergedOut, MergeIn, MovedOut, MoveIn

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


@router.post("/move", summary="Move a subject to another collection")
async def move_subject(
    _: CanRegister,
    collection: Collection,
    subject: Subject,
    body: MoveIn,
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> MovedOut:
    """The subject keeps its name, metadata, consent and expiry, and its faces their ids. Requires `delete` as well.

    - Templates of recognizers that the other collection does not use are erased; 422 (`recognizer_mismatch`) if it
      uses one that no face has a template of. A collection without faces takes over the recognizer.
    - 409 if the id is taken there. At most 1,000 faces can move.
    - Faces from an album's photo leave the album: it no longer finds them, and erasing the photo or the album spares
      them.
    - Stored answers about the subject are emptied, as if it were erased.
    """

    async def work() -> MovedOut:
        return MovedOut.of(await services.moving().move(collection, subject, body.collection, body.subject))

    request = ("move subject", collection, subject, body.collection, body.subject or "")
    return await idempotency.once(request, 200, work, about=f"{body.collection}/{body.subject or subject}")
