"""SearchFaces, SearchFacesByImage, CompareFaces, SearchUsers, SearchUsersByImage."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.domain.faces import QualityBar
from app.domain.people import FaceCandidate, NamedCandidate
from app.errors import InvalidParameter
from app.rekognition.call import Answer, Call
from app.rekognition.faces_out import REASONS, show_certainty, show_detail, show_place, show_stored
from app.rekognition.similarity import SimilarityScale

_THRESHOLD = 80.0
_MAX_FACES, _MAX_USERS = 4096, 500
_MAX_COMPARED = 100


async def search_faces(call: Call) -> Answer:
    face_id, scale = UUID(call.given["FaceId"]), await call.scale()
    matches = await call.caller.face_search().faces_by_face(
        face_id,
        call.collection,
        limit=call.given.get("MaxFaces", _MAX_FACES),
        min_similarity=scale.cosine(call.given.get("FaceMatchThreshold", _THRESHOLD)),
    )
    return {
        "SearchedFaceId": str(face_id),
        "FaceMatches": _face_matches(scale, matches),
        "FaceModelVersion": await call.face_model_version(),
    }


async def search_faces_by_image(call: Call) -> Answer:
    scale = await call.scale()
    found = await call.caller.face_search().faces_by_photo(
        await call.image(),
        call.collection,
        bar=call.bar(QualityBar.NONE),
        limit=call.given.get("MaxFaces", _MAX_FACES),
        min_similarity=scale.cosine(call.given.get("FaceMatchThreshold", _THRESHOLD)),
    )
    return {
        "SearchedFaceBoundingBox": show_place(found.face.box, found.width, found.height),
        "SearchedFaceConfidence": show_certainty(found.face.detection_score),
        "FaceMatches": _face_matches(scale, found.matches),
        "FaceModelVersion": await call.face_model_version(),
    }


async def compare_faces(call: Call) -> Answer:
    source, target = await call.image("SourceImage"), await call.image("TargetImage")
    scale = call.first_scale()
    done = await call.caller.face_search().compare(source, target, bar=call.bar(QualityBar.NONE))
    least = scale.cosine(call.given.get("SimilarityThreshold", _THRESHOLD))
    shown = [
        (show_detail(face, done.target.width, done.target.height), similarity)
        for face, similarity in done.compared[:_MAX_COMPARED]
    ]
    largest = done.source.faces[0]
    return {
        "SourceImageFace": {
            "BoundingBox": show_place(largest.box, done.source.width, done.source.height),
            "Confidence": show_certainty(largest.detection_score),
        },
        "FaceMatches": [
            {"Similarity": scale.percent(similarity), "Face": face} for face, similarity in shown if similarity >= least
        ],
        "UnmatchedFaces": [face for face, similarity in shown if similarity < least],
    }


async def search_users(call: Call) -> Answer:
    given, search = call.given, call.caller.face_search()
    if ("UserId" in given) == ("FaceId" in given):
        raise InvalidParameter("UserId, FaceId: exactly one of them must be given.", field="UserId")
    scale = await call.scale()
    limit, least = given.get("MaxUsers", _MAX_USERS), scale.cosine(given.get("UserMatchThreshold", _THRESHOLD))
    searched: dict[str, Any]
    if "FaceId" in given:
        face_id = UUID(given["FaceId"])
        matches = await search.named_by_face(face_id, call.collection, limit=limit, min_similarity=least)
        searched = {"SearchedFace": {"FaceId": str(face_id)}}
    else:
        matches = await search.named_by_subject(given["UserId"], call.collection, limit=limit, min_similarity=least)
        searched = {"SearchedUser": {"UserId": given["UserId"]}}
    return {
        "UserMatches": _user_matches(scale, matches),
        "FaceModelVersion": await call.face_model_version(),
        **searched,
    }


async def search_users_by_image(call: Call) -> Answer:
    bar, faces, scale = call.bar(QualityBar.NONE), call.faces, await call.scale()
    found = await call.caller.face_search().named_by_photo(
        await call.image(),
        call.collection,
        bar=bar,
        limit=call.given.get("MaxUsers", _MAX_USERS),
        min_similarity=scale.cosine(call.given.get("UserMatchThreshold", _THRESHOLD)),
    )
    width, height = found.analysis.width, found.analysis.height
    unsearched = []
    for face in found.analysis.faces:
        if face is found.face:
            continue
        reasons = [REASONS[finding.reason] for finding in faces.judge(face, bar)]
        if face is not found.analysis.faces[0]:
            reasons.insert(0, "FACE_NOT_LARGEST")
        unsearched.append({"FaceDetails": show_detail(face, width, height), "Reasons": list(dict.fromkeys(reasons))})
    return {
        "UserMatches": _user_matches(scale, found.matches),
        "FaceModelVersion": await call.face_model_version(),
        "SearchedFace": {"FaceDetail": show_detail(found.face, width, height)} if found.face is not None else None,
        "UnsearchedFaces": unsearched,
    }


def _face_matches(scale: SimilarityScale, matches: Sequence[FaceCandidate]) -> list[dict[str, Any]]:
    return [{"Similarity": scale.percent(one.similarity), "Face": show_stored(one.face)} for one in matches]


def _user_matches(scale: SimilarityScale, matches: Sequence[NamedCandidate]) -> list[dict[str, Any]]:
    return [
        {
            "Similarity": scale.percent(one.similarity),
            "User": {"UserId": one.subject, "UserStatus": "ACTIVE"},
        }
        for one in matches
    ]
