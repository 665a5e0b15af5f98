"""Searching a collection by an embedding, by a subject, by a stored face."""

from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Path, Query

from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRecognize
from app.routes.deps.services import CallerDep
from app.routes.responses import AUTHENTICATED, problems
from app.schemas.fields import CandidateLimit, CollectionName, SubjectId, Threshold
from app.schemas.recognition import DEFAULT_CANDIDATES
from app.schemas.search import EmbeddingSearchIn, SearchOut

router = APIRouter(
    prefix=API + "/collections/{collection}",
    tags=["search"],
    responses={**AUTHENTICATED, **problems(404, 422, 503)},
)

Collection = Annotated[CollectionName, Path()]
Subject = Annotated[SubjectId, Path()]
Limit = Annotated[CandidateLimit, Query()]
OwnThreshold = Annotated[Threshold | None, Query()]


@router.post("/search", summary="Who looks like this embedding?")
async def search_by_embedding(
    _: CanReadEmbeddings, collection: Collection, body: EmbeddingSearchIn, caller: CallerDep
) -> SearchOut:
    found = await caller.search().by_embedding(
        collection,
        np.array(body.embedding, dtype=np.float32),
        body.recognizer,
        limit=body.limit,
        threshold=body.threshold,
    )
    return SearchOut.of(collection, found)


@router.get("/subjects/{subject}/similar", summary="Who else looks like this subject?")
async def search_by_subject(
    _: CanRecognize,
    collection: Collection,
    subject: Subject,
    caller: CallerDep,
    limit: Limit = DEFAULT_CANDIDATES,
    threshold: OwnThreshold = None,
) -> SearchOut:
    return SearchOut.of(
        collection, await caller.search().by_subject(collection, subject, limit=limit, threshold=threshold)
    )


@router.get("/subjects/{subject}/faces/{face_id}/similar", summary="Who else looks like this stored face?")
async def search_by_face(
    _: CanRecognize,
    collection: Collection,
    subject: Subject,
    face_id: UUID,
    caller: CallerDep,
    limit: Limit = DEFAULT_CANDIDATES,
    threshold: OwnThreshold = None,
) -> SearchOut:
    found = await caller.search().by_face(collection, subject, face_id, limit=limit, threshold=threshold)
    return SearchOut.of(collection, found)
