"""DetectFaces, IndexFaces, ListFaces, DeleteFaces."""

from uuid import UUID

from app.domain.faces import QualityBar
from app.rekognition.call import Answer, Call
from app.rekognition.faces_out import REASONS, show_detail, show_stored

_PAGE = 1000
_MAX_FACES = 100


async def detect_faces(call: Call) -> Answer:
    found = await call.faces.detect(await call.image())
    return {"FaceDetails": [show_detail(face, found.width, found.height) for face in found.faces[:_MAX_FACES]]}


async def index_faces(call: Call) -> Answer:
    await call.caller.galleries.find(call.collection)  # one that is not there costs no inference
    image, given = await call.image(), call.given
    async with call.transaction() as services:
        done = await services.anonymous_registration().register(
            image,
            collection=call.collection,
            external_image_id=given.get("ExternalImageId"),
            most=min(given.get("MaxFaces", _MAX_FACES), _MAX_FACES),
            bar=call.bar(QualityBar.AUTO),
        )
    return {
        "FaceRecords": [
            {"Face": show_stored(one.stored), "FaceDetail": show_detail(one.face, done.width, done.height)}
            for one in done.stored
        ],
        "UnindexedFaces": [
            {
                "Reasons": list(dict.fromkeys(REASONS[reason] for reason in one.reasons)) or ["EXCEEDS_MAX_FACES"],
                "FaceDetail": show_detail(one.face, done.width, done.height),
            }
            for one in done.skipped
        ],
        "FaceModelVersion": await call.face_model_version(),
    }


async def list_faces(call: Call) -> Answer:
    given = call.given
    ids = [UUID(one) for one in given["FaceIds"]] if "FaceIds" in given else None
    async with call.transaction() as services:
        page = await services.stored_faces().list(
            call.collection, call.page(_PAGE), subject=given.get("UserId"), ids=ids
        )
    return {
        "Faces": [show_stored(face) for face in page.items],
        "NextToken": page.next_cursor,
        "FaceModelVersion": await call.face_model_version(),
    }


async def delete_faces(call: Call) -> Answer:
    ids = list(dict.fromkeys(UUID(one) for one in call.given["FaceIds"]))
    async with call.transaction() as services:
        done = await services.stored_faces().erase(call.collection, ids)
    return {
        "DeletedFaces": [str(one) for one in done.erased],
        "UnsuccessfulFaceDeletions": [
            *(
                {"FaceId": str(one), "UserId": subject, "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
                for one, subject in done.of_subjects.items()
            ),
            *({"FaceId": str(one), "Reasons": ["FACE_NOT_FOUND"]} for one in done.missing),
        ],
    }
