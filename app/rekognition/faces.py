"""DetectFaces, IndexFaces, ListFaces, DeleteFaces."""

from uuid import UUID

from app.domain.faces import QualityBar
from app.rekognition.attributes import requested_attributes
from app.rekognition.call import Call, Result
from app.rekognition.faces_out import REASONS, show_detail, show_stored

_PAGE = 1000
_MAX_FACES = 100


async def detect_faces(call: Call) -> Result:
    attributes = await requested_attributes(call, "Attributes")
    found = await call.faces.detect(await call.image(), with_attributes=attributes.need_network)
    call.check_size(found.width, found.height)
    return {
        "FaceDetails": [
            show_detail(face, found.width, found.height) | attributes.of(face) for face in found.faces[:_MAX_FACES]
        ]
    }


async def index_faces(call: Call) -> Result:
    await call.caller.galleries.find(call.collection)  # a missing collection is reported before inference
    attributes = await requested_attributes(call, "DetectionAttributes")
    image, parameters = await call.image(), call.parameters
    async with call.changing() as services:
        done = await services.anonymous_registration().register(
            image,
            collection=call.collection,
            external_image_id=parameters.get("ExternalImageId"),
            max_faces=min(parameters.get("MaxFaces", _MAX_FACES), _MAX_FACES),
            bar=call.quality_bar(QualityBar.AUTO),
            with_attributes=attributes.need_network,
        )
        call.check_size(done.width, done.height)
    return {
        "FaceRecords": [
            {
                "Face": show_stored(face.stored),
                "FaceDetail": show_detail(face.face, done.width, done.height) | attributes.of(face.face),
            }
            for face in done.stored
        ],
        "UnindexedFaces": [
            {
                "Reasons": list(dict.fromkeys(REASONS[reason] for reason in skipped.reasons)) or ["EXCEEDS_MAX_FACES"],
                "FaceDetail": show_detail(skipped.face, done.width, done.height) | attributes.of(skipped.face),
            }
            for skipped in done.skipped
        ],
        "FaceModelVersion": await call.face_model_version(),
    }


async def list_faces(call: Call) -> Result:
    parameters = call.parameters
    ids = [UUID(face_id) for face_id in parameters["FaceIds"]] if "FaceIds" in parameters else None
    async with call.reading() as services:
        page = await services.stored_faces().list(
            call.collection, call.page(_PAGE), subject=parameters.get("UserId"), ids=ids
        )
    return {
        "Faces": [show_stored(face) for face in page.items],
        "NextToken": page.next_cursor,
        "FaceModelVersion": await call.face_model_version(),
    }


async def delete_faces(call: Call) -> Result:
    ids = list(dict.fromkeys(UUID(face_id) for face_id in call.parameters["FaceIds"]))
    async with call.changing() as services:
        done = await services.stored_faces().erase(call.collection, ids)
    return {
        "DeletedFaces": [str(face_id) for face_id in done.erased],
        "UnsuccessfulFaceDeletions": [
            *(
                {"FaceId": str(face_id), "UserId": subject, "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
                for face_id, subject in done.assigned.items()
            ),
            *({"FaceId": str(face_id), "Reasons": ["FACE_NOT_FOUND"]} for face_id in done.missing),
        ],
    }
