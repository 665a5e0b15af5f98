"""Registering, recognizing, verifying, comparing, detecting, extracting: every route that takes photos."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.permissions import Permission
from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRecognize, CanRegister, CountedImages, StateDep
from app.routes.deps.services import CallerDep, IdempotencyDep, ServicesDep
from app.routes.responses import WITH_IMAGE, problems
from app.routes.uploads import ImageForm, form_body, image_form
from app.schemas.faces import DetectOut, ExtractBatchOut, ExtractOut
from app.schemas.photo_registration import RegisterAllForm, RegisterAllOut
from app.schemas.recognition import (
    CompareForm,
    CompareOut,
    ExtractForm,
    LookForm,
    RecognizeBatchOut,
    RecognizeForm,
    RecognizeOut,
    RegisterForm,
    RegisterOut,
    VerifyForm,
    VerifyOut,
)
from app.telemetry import begin_last_stage

router = APIRouter(prefix=API, tags=["recognition"])

MAX_IMAGES = 20

IMAGE_PATHS = frozenset(
    f"{API}/{name}" for name in ("register", "register/all", "recognize", "verify", "compare", "detect", "extract")
)
"""The routes that may receive photos; every other body is small."""

_MANY, _ONE, _TWO = {"images": MAX_IMAGES}, {"image": 1}, {"source": 1, "target": 1}
_ONE_OR_MANY = {"image": 1, "images": MAX_IMAGES}

RegisterUpload = Annotated[ImageForm[RegisterForm], Depends(image_form(RegisterForm, _MANY, Permission.REGISTER))]
RegisterAllUpload = Annotated[
    ImageForm[RegisterAllForm], Depends(image_form(RegisterAllForm, _ONE, Permission.REGISTER))
]
RecognizeUpload = Annotated[
    ImageForm[RecognizeForm], Depends(image_form(RecognizeForm, _ONE_OR_MANY, Permission.RECOGNIZE, either=True))
]
VerifyUpload = Annotated[ImageForm[VerifyForm], Depends(image_form(VerifyForm, _ONE, Permission.RECOGNIZE))]
CompareUpload = Annotated[ImageForm[CompareForm], Depends(image_form(CompareForm, _TWO, Permission.RECOGNIZE))]
DetectUpload = Annotated[ImageForm[LookForm], Depends(image_form(LookForm, _ONE, Permission.RECOGNIZE))]
ExtractUpload = Annotated[
    ImageForm[ExtractForm], Depends(image_form(ExtractForm, _ONE_OR_MANY, Permission.READ_EMBEDDINGS, either=True))
]


@router.post(
    "/register",
    status_code=201,
    summary="Store a person's faces",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(RegisterForm, _MANY),
)
async def register(
    _: CanRegister,
    upload: RegisterUpload,
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> RegisterOut:
    form, images = upload.fields, upload.images["images"]

    async def work() -> RegisterOut:
        done = await services.registration().register(
            images,
            collection=form.collection,
            subject=form.subject,
            name=form.name,
            metadata=form.metadata,
            choice=form.face,
            consent=form.consent,
            expires_at=form.expires_at,
        )
        return RegisterOut.of(form, done)

    request: tuple[str | bytes, ...] = ("register", form.model_dump_json(), *images)
    return await idempotency.once(request, 201, work, about=f"{form.collection}/{form.subject}")


@router.post(
    "/register/all",
    status_code=201,
    summary="Store everybody in a photo, without saying who they are",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(RegisterAllForm, _ONE),
)
async def register_all(
    _: CanRegister, upload: RegisterAllUpload, services: ServicesDep, idempotency: IdempotencyDep
) -> RegisterAllOut:
    """Each face becomes a subject of its own, which searches find; there may be none."""
    form, image = upload.fields, upload.image("image")

    async def work() -> RegisterAllOut:
        done = await services.anonymous_registration().register(
            image,
            collection=form.collection,
            external_image_id=form.external_image_id,
            most=form.limit,
            bar=form.quality,
        )
        return RegisterAllOut.of(form, done)

    request = ("register all", form.model_dump_json(), image)
    return await idempotency.once(request, 201, work, of_photo_in=form.collection)


@router.post(
    "/recognize",
    summary="Who is in this image, or in each of these?",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(RecognizeForm, _ONE_OR_MANY, either=True),
)
async def recognize(
    _: CanRecognize, upload: RecognizeUpload, counted: CountedImages, caller: CallerDep
) -> RecognizeOut | RecognizeBatchOut:
    """`image` for one, answered with its faces; `images` for up to 20, each answered on its own."""
    form, several = upload.fields, upload.images.get("images")
    if several is None:
        found = await caller.recognition().recognize(
            upload.image("image"),
            collection=form.collection,
            limit=form.limit,
            threshold=form.threshold,
            detail=form.detail,
        )
        begin_last_stage("serialize")
        return RecognizeOut.of(form.collection, found)
    await counted(len(several))
    batch = await caller.recognition().recognize_each(
        several, collection=form.collection, limit=form.limit, threshold=form.threshold, detail=form.detail
    )
    begin_last_stage("serialize")
    return RecognizeBatchOut.of(form.collection, batch)


@router.post(
    "/verify",
    summary="Is this the person it is said to be?",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(VerifyForm, _ONE),
)
async def verify(_: CanRecognize, upload: VerifyUpload, caller: CallerDep) -> VerifyOut:
    form = upload.fields
    verified = await caller.recognition().verify(
        upload.image("image"),
        collection=form.collection,
        subject=form.subject,
        threshold=form.threshold,
        choice=form.face,
    )
    return VerifyOut.of(form.subject, verified)


@router.post(
    "/compare",
    summary="Is the largest face of one image in the other?",
    responses=WITH_IMAGE,
    openapi_extra=form_body(CompareForm, _TWO),
)
async def compare(_: CanRecognize, upload: CompareUpload, caller: CallerDep) -> CompareOut:
    compared = await caller.recognition().compare(
        upload.image("source"), upload.image("target"), threshold=upload.fields.threshold
    )
    return CompareOut.of(compared)


@router.post(
    "/detect",
    summary="Where are faces, and are they good enough to register?",
    responses=WITH_IMAGE,
    openapi_extra=form_body(LookForm, _ONE),
)
async def detect(_: CanRecognize, upload: DetectUpload, caller: CallerDep) -> DetectOut:
    return DetectOut.of(await caller.faces().detect(upload.image("image"), upload.fields.detail))


@router.post(
    "/extract",
    summary="The embeddings of all faces of an image, or of each of several",
    responses=WITH_IMAGE,
    openapi_extra=form_body(ExtractForm, _ONE_OR_MANY, either=True),
)
async def extract(
    _: CanReadEmbeddings, upload: ExtractUpload, caller: CallerDep, state: StateDep
) -> ExtractOut | ExtractBatchOut:
    """`image` for one, answered with its faces; `images` for up to 20, each answered on its own."""
    several, detail = upload.images.get("images"), upload.fields.detail
    recognizer = upload.fields.recognizer or state.recognizers.first
    state.recognizers.require(recognizer, "recognizer")
    if several is None:
        return ExtractOut.of(await caller.faces().extract(upload.image("image"), detail, by=recognizer), recognizer)
    return ExtractBatchOut.of(await caller.faces().extract_each(several, detail, by=recognizer), recognizer)
