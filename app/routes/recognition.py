"""Serve every route that takes photos: register, recognize, verify, compare, detect and extract."""

from typing import Annotated

from fastapi import Depends, Request

from app.errors import InvalidParameter
from app.permissions import Permission
from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRecognize, CanRegister, PrincipalDep, StateDep
from app.routes.deps.services import CallerDep, IdempotencyDep, ServicesDep
from app.routes.form_bodies import form_body
from app.routes.responses import WITH_IMAGE, problems
from app.routes.strict_route import strict_router
from app.routes.uploads import ImageForm, image_form
from app.schemas.faces import DetectOut, ExtractBatchOut, ExtractOut
from app.schemas.photo_registration import RegisterAllForm, RegisterAllOut
from app.schemas.recognition import (
    CompareForm,
    CompareOut,
    DetectForm,
    ExtractForm,
    RecognizeBatchOut,
    RecognizeForm,
    RecognizeOut,
    RegisterForm,
    RegisterOut,
    VerifyForm,
    VerifyOut,
)
from app.server.state import state_of
from app.services.tenancy.quotas import count_recognition
from app.telemetry import begin_last_stage

router = strict_router(prefix=API, tags=["recognition"])

MAX_IMAGES = 20

IMAGE_PATHS = frozenset(
    f"{API}/{name}" for name in ("register", "register/all", "recognize", "verify", "compare", "detect", "extract")
)
"""The routes that accept photos. All other request bodies are small, except imports."""

# Image fields of a form, with the maximum number of images in each.
_BATCH, _SINGLE, _PAIR = {"images": MAX_IMAGES}, {"image": 1}, {"source": 1, "target": 1}
_SINGLE_OR_BATCH = {"image": 1, "images": MAX_IMAGES}

RegisterUpload = Annotated[ImageForm[RegisterForm], Depends(image_form(RegisterForm, _BATCH, Permission.REGISTER))]
RegisterAllUpload = Annotated[
    ImageForm[RegisterAllForm], Depends(image_form(RegisterAllForm, _SINGLE, Permission.REGISTER))
]
RecognizeUpload = Annotated[
    ImageForm[RecognizeForm], Depends(image_form(RecognizeForm, _SINGLE_OR_BATCH, Permission.RECOGNIZE, one_of=True))
]
VerifyUpload = Annotated[ImageForm[VerifyForm], Depends(image_form(VerifyForm, _SINGLE, Permission.RECOGNIZE))]
CompareUpload = Annotated[ImageForm[CompareForm], Depends(image_form(CompareForm, _PAIR, Permission.RECOGNIZE))]
DetectUpload = Annotated[ImageForm[DetectForm], Depends(image_form(DetectForm, _SINGLE, Permission.RECOGNIZE))]
ExtractUpload = Annotated[
    ImageForm[ExtractForm], Depends(image_form(ExtractForm, _SINGLE_OR_BATCH, Permission.READ_EMBEDDINGS, one_of=True))
]


async def count_batch(request: Request, principal: PrincipalDep, upload: RecognizeUpload) -> ImageForm[RecognizeForm]:
    """Count a batch against the monthly quota, except for its first image, which `CanRecognize` has counted."""
    additional = len(upload.images.get("images", ())) - 1
    if additional > 0:
        await count_recognition(state_of(request).database, principal, additional)
    return upload


CountedRecognizeUpload = Annotated[ImageForm[RecognizeForm], Depends(count_batch)]


async def get_recognizer(upload: ExtractUpload, state: StateDep) -> str:
    """Return the requested recognizer or the default; raises `InvalidParameter` if it is not loaded."""
    recognizer = upload.fields.recognizer or state.recognizers.default
    state.recognizers.require(recognizer, "recognizer")
    return recognizer


ExtractRecognizer = Annotated[str, Depends(get_recognizer)]


@router.post(
    "/register",
    status_code=201,
    summary="Register a person's faces",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(RegisterForm, _BATCH),
)
async def register(
    _: CanRegister,
    upload: RegisterUpload,
    services: ServicesDep,
    idempotency: IdempotencyDep,
) -> RegisterOut:
    """Stores the face in each image under your id for the person, and creates the subject if necessary.

    Faces of poor quality are refused with the measured value and the limit. Fails only if every image is refused.
    """
    form, images = upload.fields, upload.images["images"]
    if form.external_image_id is not None and len(images) > 1:
        raise InvalidParameter(
            f"external_image_id: names one photo, but {len(images)} were sent; send one photo per request.",
            field="external_image_id",
        )

    async def work() -> RegisterOut:
        registration = await services.registration().register(
            images,
            collection=form.collection,
            subject=form.subject,
            name=form.name,
            metadata=form.metadata,
            choice=form.face,
            consent=form.consent,
            expires_at=form.expires_at,
            external_image_id=form.external_image_id,
        )
        return RegisterOut.of(form, registration)

    request: tuple[str | bytes, ...] = ("register", form.model_dump_json(), *images)
    return await idempotency.once(request, 201, work, about=f"{form.collection}/{form.subject}")


@router.post(
    "/register/all",
    status_code=201,
    summary="Register everyone in a photo anonymously",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(RegisterAllForm, _SINGLE),
)
async def register_all(
    _: CanRegister, upload: RegisterAllUpload, services: ServicesDep, idempotency: IdempotencyDep
) -> RegisterAllOut:
    """Stores each face as an anonymous subject, which searches return like any other. A photo without faces is valid.

    Safe to repeat: a photo that was already stored under the same external id returns its stored faces.
    """
    form, image = upload.fields, upload.image("image")

    async def work() -> RegisterAllOut:
        registration = await services.anonymous_registration().register(
            image,
            collection=form.collection,
            external_image_id=form.external_image_id,
            max_faces=form.limit,
            bar=form.quality,
        )
        return RegisterAllOut.of(form, registration)

    request = ("register all", form.model_dump_json(), image)
    return await idempotency.once(request, 201, work, of_photo_in=form.collection)


@router.post(
    "/recognize",
    summary="Identify everyone in a photo",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(RecognizeForm, _SINGLE_OR_BATCH, one_of=True),
)
async def recognize(
    _: CanRecognize, upload: CountedRecognizeUpload, caller: CallerDep
) -> RecognizeOut | RecognizeBatchOut:
    """Finds the most similar subjects for each face. Send one photo as `image`, or up to 20 as `images`.

    In a batch, each photo has its own result or error, and each counts toward the monthly quota.
    """
    form, batch = upload.fields, upload.images.get("images")
    if batch is None:
        recognition = await caller.recognition().recognize(
            upload.image("image"),
            collection=form.collection,
            limit=form.limit,
            threshold=form.threshold,
            detail=form.detail,
        )
        begin_last_stage("serialize")
        return RecognizeOut.of(form.collection, recognition)
    recognitions = await caller.recognition().recognize_each(
        batch, collection=form.collection, limit=form.limit, threshold=form.threshold, detail=form.detail
    )
    begin_last_stage("serialize")
    return RecognizeBatchOut.of(form.collection, recognitions)


@router.post(
    "/verify",
    summary="Verify a claimed identity",
    responses={**WITH_IMAGE, **problems(404)},
    openapi_extra=form_body(VerifyForm, _SINGLE),
)
async def verify(_: CanRecognize, upload: VerifyUpload, caller: CallerDep) -> VerifyOut:
    """Compares the face in a photo with the templates of one subject."""
    form = upload.fields
    verification = await caller.recognition().verify(
        upload.image("image"),
        collection=form.collection,
        subject=form.subject,
        threshold=form.threshold,
        choice=form.face,
    )
    return VerifyOut.of(form.subject, verification)


@router.post(
    "/compare",
    summary="Compare the faces in two photos",
    responses=WITH_IMAGE,
    openapi_extra=form_body(CompareForm, _PAIR),
)
async def compare(_: CanRecognize, upload: CompareUpload, caller: CallerDep) -> CompareOut:
    """Compares the largest face in `source` with every face in `target`. Stores nothing."""
    comparison = await caller.recognition().compare(
        upload.image("source"), upload.image("target"), threshold=upload.fields.threshold
    )
    return CompareOut.of(comparison)


@router.post(
    "/detect",
    summary="Detect faces and measure their quality",
    responses=WITH_IMAGE,
    openapi_extra=form_body(DetectForm, _SINGLE),
)
async def detect(_: CanRecognize, upload: DetectUpload, caller: CallerDep) -> DetectOut:
    """Finds every face in a photo and tells whether its quality is high enough to register. Stores nothing."""
    return DetectOut.of(await caller.faces().detect(upload.image("image"), upload.fields.detail))


@router.post(
    "/extract",
    summary="Extract the embeddings of all faces",
    responses=WITH_IMAGE,
    openapi_extra=form_body(ExtractForm, _SINGLE_OR_BATCH, one_of=True),
)
async def extract(
    _: CanReadEmbeddings, upload: ExtractUpload, recognizer: ExtractRecognizer, caller: CallerDep
) -> ExtractOut | ExtractBatchOut:
    """Send one photo as `image`, or up to 20 as `images`; in a batch, each has its own result or error.

    Stores nothing.
    """
    batch, detail = upload.images.get("images"), upload.fields.detail
    if batch is None:
        return ExtractOut.of(await caller.faces().extract(upload.image("image"), detail, by=recognizer), recognizer)
    return ExtractBatchOut.of(await caller.faces().extract_each(batch, detail, by=recognizer), recognizer)
