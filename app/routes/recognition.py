"""Registering, recognising, verifying, comparing, detecting, extracting: every route that takes photos."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.permissions import Permission
from app.routes import API
from app.routes.deps import (
    CanReadEmbeddings,
    CanRecognize,
    CanRegister,
    FacesDep,
    IdempotencyDep,
    RecognitionDep,
    RegistrationDep,
)
from app.routes.responses import WITH_IMAGE, problems
from app.routes.uploads import ImageForm, form_body, image_form
from app.schemas.faces import DetectOut, ExtractOut
from app.schemas.recognition import (
    CompareForm,
    CompareOut,
    NoFields,
    RecognizeForm,
    RecognizeOut,
    RegisterForm,
    RegisterOut,
    VerifyForm,
    VerifyOut,
)

router = APIRouter(prefix=API, tags=["recognition"])

MAX_IMAGES = 20

IMAGE_PATHS = frozenset(f"{API}/{name}" for name in ("register", "recognize", "verify", "compare", "detect", "extract"))
"""The routes that may receive photos; every other body is small."""

_MANY, _ONE, _TWO = {"images": MAX_IMAGES}, {"image": 1}, {"source": 1, "target": 1}

RegisterUpload = Annotated[ImageForm[RegisterForm], Depends(image_form(RegisterForm, _MANY, Permission.REGISTER))]
RecognizeUpload = Annotated[ImageForm[RecognizeForm], Depends(image_form(RecognizeForm, _ONE, Permission.RECOGNIZE))]
VerifyUpload = Annotated[ImageForm[VerifyForm], Depends(image_form(VerifyForm, _ONE, Permission.RECOGNIZE))]
CompareUpload = Annotated[ImageForm[CompareForm], Depends(image_form(CompareForm, _TWO, Permission.RECOGNIZE))]
DetectUpload = Annotated[ImageForm[NoFields], Depends(image_form(NoFields, _ONE, Permission.RECOGNIZE))]
ExtractUpload = Annotated[ImageForm[NoFields], Depends(image_form(NoFields, _ONE, Permission.READ_EMBEDDINGS))]


@router.post(
    "/register", status_code=201, summary="Store a person's faces",
    responses={**WITH_IMAGE, **problems(404)}, openapi_extra=form_body(RegisterForm, _MANY),
)  # fmt: skip
async def register(
    _: CanRegister,
    upload: RegisterUpload,
    registration: RegistrationDep,
    faces: FacesDep,
    idempotency: IdempotencyDep,
) -> RegisterOut:
    form, images = upload.fields, upload.images["images"]

    async def work() -> RegisterOut:
        done = await registration.register(
            images, collection=form.collection, subject=form.subject, name=form.name, metadata=form.metadata,
            choice=form.face,
        )  # fmt: skip
        return RegisterOut.of(form, faces.engine.recognizer, done)

    request: tuple[str | bytes, ...] = ("register", form.model_dump_json(), *images)
    return await idempotency.once(request, 201, work, about=f"{form.collection}/{form.subject}")


@router.post(
    "/recognize", summary="Who is in this image?",
    responses={**WITH_IMAGE, **problems(404)}, openapi_extra=form_body(RecognizeForm, _ONE),
)  # fmt: skip
async def recognize(_: CanRecognize, upload: RecognizeUpload, recognition: RecognitionDep) -> RecognizeOut:
    form = upload.fields
    found = await recognition.recognize(
        upload.image("image"), collection=form.collection, limit=form.limit, threshold=form.threshold
    )
    return RecognizeOut.of(form.collection, found)


@router.post(
    "/verify", summary="Is this the person it is said to be?",
    responses={**WITH_IMAGE, **problems(404)}, openapi_extra=form_body(VerifyForm, _ONE),
)  # fmt: skip
async def verify(_: CanRecognize, upload: VerifyUpload, recognition: RecognitionDep) -> VerifyOut:
    form = upload.fields
    verified = await recognition.verify(
        upload.image("image"), collection=form.collection, subject=form.subject, threshold=form.threshold,
        choice=form.face,
    )  # fmt: skip
    return VerifyOut.of(form.subject, verified)


@router.post(
    "/compare", summary="Is the largest face of one image in the other?",
    responses=WITH_IMAGE, openapi_extra=form_body(CompareForm, _TWO),
)  # fmt: skip
async def compare(_: CanRecognize, upload: CompareUpload, recognition: RecognitionDep) -> CompareOut:
    compared = await recognition.compare(
        upload.image("source"), upload.image("target"), threshold=upload.fields.threshold
    )
    return CompareOut.of(compared)


@router.post(
    "/detect", summary="Where are faces, and are they good enough to register?",
    responses=WITH_IMAGE, openapi_extra=form_body(NoFields, _ONE),
)  # fmt: skip
async def detect(_: CanRecognize, upload: DetectUpload, faces: FacesDep) -> DetectOut:
    return DetectOut.of(await faces.detect(upload.image("image")))


@router.post(
    "/extract", summary="The embeddings of all faces",
    responses=WITH_IMAGE, openapi_extra=form_body(NoFields, _ONE),
)  # fmt: skip
async def extract(_: CanReadEmbeddings, upload: ExtractUpload, faces: FacesDep) -> ExtractOut:
    return ExtractOut.of(await faces.extract(upload.image("image")), faces.engine.recognizer)
