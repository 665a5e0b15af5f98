"""Serve searches of a collection by embedding, by subject and by stored face."""

from typing import Annotated

from fastapi import Path, Query

from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRecognize
from app.routes.deps.services import CallerDep
from app.routes.responses import AUTHENTICATED, problems
from app.routes.strict_route import strict_router
from app.schemas.fields import CandidateLimit, CollectionName, Id, SubjectId, Threshold
from app.schemas.recognition import DEFAULT_CANDIDATES
from app.schemas.search import EmbeddingSearchIn, SearchOut

router = strict_router(
    prefix=API + "/collections/{collection}",
    tags=["search"],
    responses={**AUTHENTICATED, **problems(404, 422, 503)},
)

Collection = Annotated[CollectionName, Path()]
Subject = Annotated[SubjectId, Path()]
Limit = Annotated[CandidateLimit, Query()]
MatchThreshold = Annotated[Threshold | None, Query()]


@router.post("/search", summary="Search by embedding")
async def search_by_embedding(
    _: CanReadEmbeddings, collection: Collection, body: EmbeddingSearchIn, caller: CallerDep
) -> SearchOut:
    """Returns the subjects whose templates are most similar to an embedding from `POST /extract`."""
    result = await caller.search().by_embedding(
        collection, body.vector(), body.recognizer, limit=body.limit, threshold=body.threshold
    )
    return SearchOut.of(collection, result)


@router.get("/subjects/{subject}/similar", summary="Find subjects similar to a subject")
async def search_by_subject(
    _: CanRecognize,
    collection: Collection,
    subject: Subject,
    caller: CallerDep,
    limit: Limit = DEFAULT_CANDIDATES,
    threshold: MatchThreshold = None,
) -> SearchOut:
    """Helps to find duplicates: the same person registered under several ids."""
    result = await caller.search().by_subject(collection, subject, limit=limit, threshold=threshold)
    return SearchOut.of(collection, result)


@router.get("/subjects/{subject}/faces/{face_id}/similar", summary="Find subjects similar to a stored face")
async def search_by_face(
    _: CanRecognize,
    collection: Collection,
    subject: Subject,
    face_id: Id,
    caller: CallerDep,
    limit: Limit = DEFAULT_CANDIDATES,
    threshold: MatchThreshold = None,
) -> SearchOut:
    """Returns the subjects whose templates are most similar to one stored face."""
    result = await caller.search().by_face(collection, subject, face_id, limit=limit, threshold=threshold)
    return SearchOut.of(collection, result)
