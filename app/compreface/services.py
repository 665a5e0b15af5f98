"""The services without a collection of their own: detect faces, and compare the faces of two photos."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from app.compreface.access import allow
from app.compreface.call import Call, Result
from app.compreface.faces_out import show_detected, show_face, show_versions
from app.compreface.options import CALCULATOR, OptionsDep
from app.compreface.routing import serve
from app.errors import NoFace
from app.permissions import Permission

router = APIRouter()

CanRecognize = Annotated[Call, Depends(allow(Permission.RECOGNIZE))]


@serve(router, "POST", "/detection/detect")
async def detect(call: CanRecognize, options: OptionsDep) -> Result:
    has_embeddings = CALCULATOR in options.plugins
    if has_embeddings:
        await call.count_embeddings()
    shown: list[dict[str, Any]]
    async with call.photos("file") as (image,):
        if has_embeddings:
            found = await call.caller.nearest().find_faces(image, call.collection, options.limits)
            shown = [show_face(one, options) for one in found]
        else:
            analysis = await call.caller.faces().detect(image)
            chosen = options.limits.choose(analysis.faces)
            shown = [show_detected(analysis.faces[index], options) for index in chosen]
    if not shown:
        raise NoFace
    return {"result": shown, **show_versions(await call.recognizer(), options)}


@serve(router, "POST", "/verification/verify")
async def verify_photos(call: CanRecognize, options: OptionsDep) -> Result:
    if CALCULATOR in options.plugins:
        await call.count_embeddings()
    similarity = await call.scale()
    async with call.photos("source_image", "target_image") as (source, target):
        compared = await call.caller.nearest().compare_photos(source, target, call.collection, options.limits)
    return {
        "result": [
            {
                "source_image_face": show_face(compared.source, options),
                "face_matches": [
                    {**show_face(one.found, options), "similarity": similarity(one.similarity)}
                    for one in compared.faces
                ],
                **show_versions(await call.recognizer(), options),
            }
        ]
    }
