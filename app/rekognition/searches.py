"""SearchFaces, SearchFacesByImage, CompareFaces, SearchUsers, SearchUsersByImage."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.domain.faces import QualityBar
from app.domain.people import FaceCandidate, NamedCandidate
from app.errors import InvalidParameter
from app.rekognition.call import Call, Result
from app.rekognition.confidence import confidence
from app.rekognition.faces_out import REASONS, show_detail, show_pixel_box, show_stored
from app.rekognition.similarity import SimilarityScale
from app.services.recognition.face_search import NamedMatches

_THRESHOLD = 80.0
_MAX_FACES, _MAX_USERS = 4096, 500
_MAX_COMPARED = 100


async def search_faces(call: Call) -> Result:
    face_id, scale = UUID(call.parameters["FaceId"]), await call.scale()
    matches = await call.caller.face_search().faces_by_face(
        face_id,
        call.collection,
        limit=call.parameters.get("MaxFaces", _MAX_FACES),
        min_similarity=scale.cosine(call.parameters.get("FaceMatchThreshold", _THRESHOLD)),
    )
    return {
        "SearchedFaceId": str(face_id),
        "FaceMatches": _face_matches(scale, matches),
        "FaceModelVersion": await call.face_model_version(),
    }


async def search_faces_by_image(call: Call) -> Result:
    scale = await call.scale()
    found = await call.caller.face_search().faces_by_photo(
        await call.image(),
        call.collection,
        bar=call.quality_bar(QualityBar.NONE),
        limit=call.parameters.get("MaxFaces", _MAX_FACES),
        min_similarity=scale.cosine(call.parameters.get("FaceMatchThreshold", _THRESHOLD)),
    )
    call.check_size(found.width, found.height)
    return {
        "SearchedFaceBoundingBox": show_pixel_box(found.face.box, found.width, found.height),
        "SearchedFaceConfidence": confidence(found.face.detection_score),
        "FaceMatches": _face_matches(scale, found.matches),
        "FaceModelVersion": await call.face_model_version(),
    }


async def compare_faces(call: Call) -> Result:
    source, target = await call.image("SourceImage"), await call.image("TargetImage")
    scale = call.first_scale()
    done = await call.caller.face_search().compare(source, target, bar=call.quality_bar(QualityBar.NONE))
    call.check_size(done.source.width, done.source.height, "SourceImage")
    call.check_size(done.target.width, done.target.height, "TargetImage")
    min_cosine = scale.cosine(call.parameters.get("SimilarityThreshold", _THRESHOLD))
    width, height = done.target.width, done.target.height
    shown = [(show_detail(face, width, height), similarity) for face, similarity in done.compared[:_MAX_COMPARED]]
    unreliable = [show_detail(face, width, height) for face in done.unreliable[: _MAX_COMPARED - len(shown)]]
    largest = done.source.faces[0]
    return {
        "SourceImageFace": {
            "BoundingBox": show_pixel_box(largest.box, done.source.width, done.source.height),
            "Confidence": confidence(largest.detection_score),
        },
        "FaceMatches": [
            {"Similarity": scale.percent(similarity), "Face": face}
            for face, similarity in shown
            if similarity >= min_cosine
        ],
        "UnmatchedFaces": [*(face for face, similarity in shown if similarity < min_cosine), *unreliable],
    }


async def search_users(call: Call) -> Result:
    parameters, search = call.parameters, call.caller.face_search()
    if ("UserId" in parameters) == ("FaceId" in parameters):
        raise InvalidParameter("UserId, FaceId: send exactly one of them.", field="UserId")
    scale = await call.scale()
    limit = parameters.get("MaxUsers", _MAX_USERS)
    min_cosine = scale.cosine(parameters.get("UserMatchThreshold", _THRESHOLD))
    searched: dict[str, Any]
    if "FaceId" in parameters:
        face_id = UUID(parameters["FaceId"])
        matches = await search.named_by_face(face_id, call.collection, limit=limit, min_similarity=min_cosine)
        searched = {"SearchedFace": {"FaceId": str(face_id)}}
    else:
        matches = await search.named_by_subject(
            parameters["UserId"], call.collection, limit=limit, min_similarity=min_cosine
        )
        searched = {"SearchedUser": {"UserId": parameters["UserId"]}}
    return {
        "UserMatches": _user_matches(scale, matches),
        "FaceModelVersion": await call.face_model_version(),
        **searched,
    }


async def search_users_by_image(call: Call) -> Result:
    bar, scale = call.quality_bar(QualityBar.NONE), await call.scale()
    found = await call.caller.face_search().named_by_photo(
        await call.image(),
        call.collection,
        bar=bar,
        limit=call.parameters.get("MaxUsers", _MAX_USERS),
        min_similarity=scale.cosine(call.parameters.get("UserMatchThreshold", _THRESHOLD)),
    )
    width, height = found.analysis.width, found.analysis.height
    call.check_size(width, height)
    return {
        "UserMatches": _user_matches(scale, found.matches),
        "FaceModelVersion": await call.face_model_version(),
        "SearchedFace": {"FaceDetail": show_detail(found.face, width, height)} if found.face is not None else None,
        "UnsearchedFaces": _unsearched_faces(call, found, bar),
    }


def _unsearched_faces(call: Call, found: NamedMatches, bar: QualityBar) -> list[dict[str, Any]]:
    unsearched, reader = [], call.faces
    for index, face in enumerate(found.analysis.faces):  # the largest first
        if face is found.face:
            continue
        reasons = [REASONS[finding.reason] for finding in reader.judge(face, bar)]
        if index > 0:
            reasons.insert(0, "FACE_NOT_LARGEST")
        detail = show_detail(face, found.analysis.width, found.analysis.height)
        unsearched.append({"FaceDetails": detail, "Reasons": list(dict.fromkeys(reasons))})
    return unsearched


def _face_matches(scale: SimilarityScale, matches: Sequence[FaceCandidate]) -> list[dict[str, Any]]:
    return [{"Similarity": scale.percent(match.similarity), "Face": show_stored(match.face)} for match in matches]


def _user_matches(scale: SimilarityScale, matches: Sequence[NamedCandidate]) -> list[dict[str, Any]]:
    return [
        {
            "Similarity": scale.percent(match.similarity),
            "User": {"UserId": match.subject, "UserStatus": "ACTIVE"},
        }
        for match in matches
    ]
