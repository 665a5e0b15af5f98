"""Serve the routes that take a photo: register, recognize, verify, compare, detect and extract.

Routes that look for faces answer 200 with an empty list for a photo without any. Routes that need a face refuse it.
"""

from typing import Annotated, Any

from fastapi import Depends, Response

from app.errors import InvalidParameter
from app.permissions import Permission
from app.routes import API
from app.routes.deps.callers import CanReadEmbeddings, CanRecognize, CanRegister, StateDep
from app.routes.deps.services import CallerDep, IdempotencyDep, ServicesDep
from app.routes.form_bodies import form_body
from app.routes.photo_fields import BatchRoute, PhotoFields
from app.routes.responses import WITH_FACE, WITH_PHOTO, problems
from app.routes.strict_route import strict_router
from app.routes.uploads import ImageForm, image_form
from app.schemas.faces import DetectOut, ExtractOut
from app.schemas.photo_registration import RegisterAllForm, RegisterAllOut
from app.schemas.recognition import (
    CompareForm,
    CompareOut,
    DetectForm,
    ExtractForm,
    RecognizeForm,
    RecognizeOut,
    RegisterForm,
    RegisterOut,
    VerifyForm,
    VerifyOut,
)
from app.telemetry import begin_last_stage

router = strict_router(prefix=API, tags=["recognition"])

MAX_IMAGES = 20

_SINGLE, _SEVERAL = PhotoFields({"image": 1}), PhotoFields({"images": MAX_IMAGES})
_PAIR = PhotoFields({"source": 1, "target": 1}, BatchRoute(f"{API}/compare/batch", "targets"))
_RECOGNIZED = PhotoFields({"image": 1}, BatchRoute(f"{API}/recognize/batch", "images"))
_EXTRACTED = PhotoFields({"image": 1}, BatchRoute(f"{API}/extract/batch", "images"))

NOTHING_STORED: dict[int | str, dict[str, Any]] = {
    200: {"model": RegisterAllOut, "description": "No face was stored: the photo has none, or all were skipped."}
}

RegisterUpload = Annotated[ImageForm[RegisterForm], Depends(image_form(RegisterForm, _SEVERAL, Permission.REGISTER))]
RegisterAllUpload = Annotated[
    ImageForm[RegisterAllForm], Depends(image_form(RegisterAllForm, _SINGLE, Permission.REGISTER))
]
RecognizeUpload = Annotated[
    ImageForm[RecognizeForm], Depends(image_form(RecognizeForm, _RECOGNIZED, Permission.RECOGNIZE))
]
VerifyUpload = Annotated[ImageForm[VerifyForm], Depends(image_form(VerifyForm, _SINGLE, Permission.RECOGNIZE))]
CompareUpload = Annotated[ImageForm[CompareForm], Depends(image_form(CompareForm, _PAIR, Permission.RECOGNIZE))]
DetectUpload = Annotated[ImageForm[DetectForm], Depends(image_form(DetectForm, _SINGLE, Permission.RECOGNIZE))]
ExtractUpload = Annotated[
    ImageForm[ExtractForm], Depends(image_form(ExtractForm, _EXTRACTED, Permission.READ_EMBEDDINGS))
]


async def get_recognizer(upload: ExtractUpload, state: StateDep) -> str:
    """Return the requested recognizer or the default; raises `InvalidParameter` if it is not loaded."""
    return state.recognizers.choose(upload.fields.recognizer, "recognizer")


ExtractRecognizer = Annotated[str, Depends(get_recognizer)]


@router.post(
    "/register",
    status_code=201,
    summary="Register a person's faces",
    responses={**WITH_FACE, **problems(404)},
    openapi_extra=form_body(RegisterForm, _SEVERAL),
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
    form = upload.fields
    count = upload.count("images")
    if form.external_image_id is not None and count > 1:
        raise InvalidParameter(
            f"external_image_id: names one photo, but {count} were sent; send one photo per request.",
            field="external_image_id",
        )

    async def work() -> RegisterOut:
        registration = await services.registration().register(
            await upload.each("images"),
            field=upload.field_of("images"),
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

    request: tuple[str | bytes, ...] = ("register", form.model_dump_json(), *upload.identity("images"))
    return await idempotency.once(request, 201, work, about=f"{form.collection}/{form.subject}")


@router.post(
    "/register/all",
    status_code=201,
    summary="Register everyone in a photo anonymously",
    responses={**WITH_PHOTO, **problems(404), **NOTHING_STORED},
    openapi_extra=form_body(RegisterAllForm, _SINGLE),
)
async def register_all(
    _: CanRegister, upload: RegisterAllUpload, services: ServicesDep, idempotency: IdempotencyDep, response: Response
) -> RegisterAllOut:
    """Stores each face as an anonymous subject, which searches return like any other.

    A photo without faces is not an error: the answer is 200 with empty lists. It is also 200 if every face was skipped.
    Safe to repeat: a photo that was already stored under the same external id returns its stored faces.
    """
    form = upload.fields

    async def work() -> RegisterAllOut:
        registration = await services.anonymous_registration().register(
            await upload.image("image"),
            collection=form.collection,
            external_image_id=form.external_image_id,
            max_faces=form.limit,
            bar=form.quality,
        )
        if not registration.stored:
            response.status_code = 200
        return RegisterAllOut.of(form, registration)

    def status() -> int:
        return response.status_code or 201

    request = ("register all", form.model_dump_json(), *upload.identity("image"))
    return await idempotency.once(request, status, work, of_photo_in=form.collection)


@router.post(
    "/recognize",
    summary="Identify everyone in a photo",
    responses={**WITH_PHOTO, **problems(404)},
    openapi_extra=form_body(RecognizeForm, _RECOGNIZED),
)
async def recognize(_: CanRecognize, upload: RecognizeUpload, caller: CallerDep) -> RecognizeOut:
    """Finds the most similar subjects for each face. A photo without faces has an empty list of them.

    Send several photos to `POST /recognize/batch`.
    """
    form = upload.fields
    recognition = await caller.recognition().recognize(
        await upload.image("image"),
        collection=form.collection,
        limit=form.limit,
        threshold=form.threshold,
        detail=form.detail,
    )
    begin_last_stage("serialize")
    return RecognizeOut.of(form.collection, recognition)


@router.post(
    "/verify",
    summary="Verify a claimed identity",
    responses={**WITH_FACE, **problems(404)},
    openapi_extra=form_body(VerifyForm, _SINGLE),
)
async def verify(_: CanRecognize, upload: VerifyUpload, caller: CallerDep) -> VerifyOut:
    """Compares the face in a photo with the templates of one subject. A photo without a face is refused."""
    form = upload.fields
    verification = await caller.recognition().verify(
        await upload.image("image"),
        collection=form.collection,
        subject=form.subject,
        threshold=form.threshold,
        choice=form.face,
    )
    return VerifyOut.of(form.subject, verification)


@router.post(
    "/compare",
    summary="Compare the faces in two photos",
    responses=WITH_FACE,
    openapi_extra=form_body(CompareForm, _PAIR),
)
async def compare(_: CanRecognize, upload: CompareUpload, caller: CallerDep) -> CompareOut:
    """Compares the largest face in `source` with every face in `target`. Stores nothing.

    A photo without a face is refused. Send several targets to `POST /compare/batch`.
    """
    source, target = await upload.image("source"), await upload.image("target")
    comparison = await caller.recognition().compare(source, target, threshold=upload.fields.threshold)
    return CompareOut.of(comparison)


@router.post(
    "/detect",
    summary="Detect faces and measure their quality",
    responses=WITH_PHOTO,
    openapi_extra=form_body(DetectForm, _SINGLE),
)
async def detect(_: CanRecognize, upload: DetectUpload, caller: CallerDep) -> DetectOut:
    """Finds every face in a photo and tells whether its quality is high enough to register. Stores nothing.

    A photo without faces has an empty list of them.
    """
    return DetectOut.of(await caller.faces().detect(await upload.image("image"), upload.fields.detail))


@router.post(
    "/extract",
    summary="Extract the embeddings of all faces",
    responses=WITH_PHOTO,
    openapi_extra=form_body(ExtractForm, _EXTRACTED),
)
async def extract(
    _: CanReadEmbeddings, upload: ExtractUpload, recognizer: ExtractRecognizer, caller: CallerDep
) -> ExtractOut:
    """Returns an embedding of every face in a photo; a photo without faces has an empty list. Stores nothing.

    Send several photos to `POST /extract/batch`.
    """
    image = await upload.image("image")
    return ExtractOut.of(await caller.faces().extract(image, upload.fields.detail, by=recognizer), recognizer)
