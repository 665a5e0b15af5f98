"""Recognize faces in photos and by embeddings, and compare them with stored faces."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from app.compreface.access import allow
from app.compreface.call import Call, Result
from app.compreface.embeddings import read_embeddings
from app.compreface.faces_out import show_face, show_versions
from app.compreface.options import CALCULATOR, OptionsDep, PredictionCount
from app.compreface.routing import serve
from app.permissions import Permission
from app.schemas.subject_names import from_subject_id

router = APIRouter()

CanRecognize = Annotated[Call, Depends(allow(Permission.RECOGNIZE))]
CanSearchEmbeddings = Annotated[Call, Depends(allow(Permission.READ_EMBEDDINGS))]


@serve(router, "POST", "/recognition/recognize")
async def recognize(call: CanRecognize, options: OptionsDep, prediction_count: PredictionCount = 1) -> Result:
    if CALCULATOR in options.plugins:
        await call.count_embeddings()
    similarity = await call.scale()
    async with call.photos("file") as (image,):
        named = await call.caller.nearest().name_faces(image, call.collection, options.limits, limit=prediction_count)
    return {
        "result": [
            {
                **show_face(one.found, options),
                "subjects": [
                    {"similarity": similarity(near.similarity), "subject": from_subject_id(near.subject)}
                    for near in one.subjects
                ],
            }
            for one in named
        ],
        **show_versions(await call.recognizer(), options),
    }


@serve(router, "POST", "/recognition/faces/{image_id}/verify")
async def verify_face(image_id: UUID, call: CanRecognize, options: OptionsDep) -> Result:
    if CALCULATOR in options.plugins:
        await call.count_embeddings()
    similarity = await call.scale()
    async with call.photos("file") as (image,):
        compared = await call.caller.nearest().compare_with_face(image, call.collection, image_id, options.limits)
    return {
        "result": [{**show_face(one.found, options), "similarity": similarity(one.similarity)} for one in compared],
        **show_versions(await call.recognizer(), options),
    }


@serve(router, "POST", "/recognition/embeddings/recognize")
async def recognize_embeddings(call: CanSearchEmbeddings, prediction_count: PredictionCount = 1) -> Result:
    sent, embeddings = await read_embeddings(call)
    await call.count_embeddings(len(embeddings) - 1)
    similarity = await call.scale()
    named = await call.caller.nearest().name_embeddings(embeddings, call.collection, limit=prediction_count)
    return {
        "result": [
            {
                "embedding": embedding,
                "similarities": [
                    {"subject": from_subject_id(near.subject), "similarity": similarity(near.similarity)}
                    for near in subjects
                ],
            }
            for embedding, subjects in zip(sent, named, strict=True)
        ]
    }


@serve(router, "POST", "/recognition/embeddings/faces/{image_id}/verify")
async def verify_embeddings(image_id: UUID, call: CanSearchEmbeddings) -> Result:
    sent, embeddings = await read_embeddings(call)
    await call.count_embeddings(len(embeddings) - 1)
    similarity = await call.scale()
    compared = await call.caller.nearest().compare_embeddings(embeddings, call.collection, image_id)
    return {
        "result": [
            {"embedding": embedding, "similarity": similarity(cosine)}
            for embedding, cosine in zip(sent, compared, strict=True)
        ]
    }
