"""Serve the routes that take several photos at once, and answer for each one.

The overall status is 200 even if no photo could be used. Every photo counts toward the plan's rate and monthly quota.
Errors of the whole request, such as an unknown collection or a full server, are answered as by the single routes.
"""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from app.permissions import Permission, Principal
from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRecognize, PrincipalDep, StateDep
from app.routes.deps.services import CallerDep
from app.routes.form_bodies import form_body
from app.routes.photo_fields import PhotoFields
from app.routes.recognition import MAX_IMAGES
from app.routes.responses import WITH_FACE, WITH_PHOTO, problems
from app.routes.strict_route import strict_router
from app.routes.uploads import ImageForm, image_form
from app.schemas.batches import CompareBatchOut, ExtractBatchOut, RecognizeBatchOut
from app.schemas.recognition import CompareForm, ExtractForm, RecognizeForm
from app.server.admission import admit_more
from app.telemetry import begin_last_stage

router = strict_router(prefix=API, tags=["recognition"])

F = TypeVar("F", bound=BaseModel)

_IMAGES = PhotoFields({"images": MAX_IMAGES})
_TARGETS = PhotoFields({"source": 1, "targets": MAX_IMAGES})

RecognizeUpload = Annotated[ImageForm[RecognizeForm], Depends(image_form(RecognizeForm, _IMAGES, Permission.RECOGNIZE))]
ExtractUpload = Annotated[ImageForm[ExtractForm], Depends(image_form(ExtractForm, _IMAGES, Permission.READ_EMBEDDINGS))]
CompareUpload = Annotated[ImageForm[CompareForm], Depends(image_form(CompareForm, _TARGETS, Permission.RECOGNIZE))]


@dataclass(frozen=True, slots=True)
class BatchCounter:
    """Counts a batch like as many calls of the single route; the first one was counted before the body was read."""

    request: Request
    response: Response
    principal: Principal

    async def count(self, upload: ImageForm[F], field: str, permission: Permission) -> ImageForm[F]:
        """Count the images of a field after the first; raises `RateLimited` or `QuotaExceeded`."""
        more = upload.count(field) - 1
        if more:
            self.response.headers.update(await admit_more(self.request, self.principal, permission, more))
        return upload


async def get_counter(request: Request, response: Response, principal: PrincipalDep) -> BatchCounter:
    return BatchCounter(request, response, principal)


CounterDep = Annotated[BatchCounter, Depends(get_counter)]


async def count_recognize(upload: RecognizeUpload, counter: CounterDep) -> ImageForm[RecognizeForm]:
    return await counter.count(upload, "images", Permission.RECOGNIZE)


async def count_extract(upload: ExtractUpload, counter: CounterDep) -> ImageForm[ExtractForm]:
    return await counter.count(upload, "images", Permission.READ_EMBEDDINGS)


async def count_compare(upload: CompareUpload, counter: CounterDep) -> ImageForm[CompareForm]:
    return await counter.count(upload, "targets", Permission.RECOGNIZE)


@router.post(
    "/recognize/batch",
    summary="Identify everyone in several photos",
    responses={**WITH_PHOTO, **problems(404)},
    openapi_extra=form_body(RecognizeForm, _IMAGES),
)
async def recognize_batch(
    _: CanRecognize, upload: Annotated[ImageForm[RecognizeForm], Depends(count_recognize)], caller: CallerDep
) -> RecognizeBatchOut:
    """Answers for each of up to 20 photos what `POST /recognize` answers, or a problem.

    Every photo counts toward the rate and the monthly quota.
    """
    form = upload.fields
    recognized = await caller.recognition().recognize_each(
        await upload.each("images"),
        collection=form.collection,
        limit=form.limit,
        threshold=form.threshold,
        detail=form.detail,
    )
    begin_last_stage("serialize")
    return RecognizeBatchOut.of(form.collection, recognized, upload.field_of("images"))


@router.post(
    "/extract/batch",
    summary="Extract the embeddings of all faces in several photos",
    responses=WITH_PHOTO,
    openapi_extra=form_body(ExtractForm, _IMAGES),
)
async def extract_batch(
    _: CanReadEmbeddings,
    upload: Annotated[ImageForm[ExtractForm], Depends(count_extract)],
    state: StateDep,
    caller: CallerDep,
) -> ExtractBatchOut:
    """Answers for each of up to 20 photos what `POST /extract` answers, or a problem. Stores nothing.

    Every photo counts toward the rate.
    """
    recognizer = state.recognizers.choose(upload.fields.recognizer, "recognizer")
    images = await upload.each("images")
    analyses = await caller.faces().extract_each(images, upload.fields.detail, by=recognizer)
    return ExtractBatchOut.of(analyses, recognizer, upload.field_of("images"))


@router.post(
    "/compare/batch",
    summary="Compare the faces in one photo with those in several",
    responses=WITH_FACE,
    openapi_extra=form_body(CompareForm, _TARGETS),
)
async def compare_batch(
    _: CanRecognize, upload: Annotated[ImageForm[CompareForm], Depends(count_compare)], caller: CallerDep
) -> CompareBatchOut:
    """Answers for each of up to 20 `targets` what `POST /compare` answers, or a problem. Stores nothing.

    The largest face in `source` is compared; a source without a face is refused. Every target counts toward the rate
    and the monthly quota.
    """
    source, targets = await upload.image("source"), await upload.each("targets")
    compared = await caller.recognition().compare_each(source, targets, threshold=upload.fields.threshold)
    return CompareBatchOut.of(compared, upload.field_of("targets"))
