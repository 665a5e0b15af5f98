"""CreateUser, DeleteUser, ListUsers, AssociateFaces, DisassociateFaces. A user is a named subject.

Changes are complete before the response is sent, so no user ever has the status UPDATING.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.permissions import Permission
from app.rekognition.call import Call, Result
from app.rekognition.similarity import SimilarityScale
from app.services.people.assignment import AssignmentRefusal, RefusedFace

_PAGE = 500
_THRESHOLD = 75.0
_REASONS = {
    AssignmentRefusal.MISSING: "FACE_NOT_FOUND",
    AssignmentRefusal.OTHER_SUBJECT: "ASSOCIATED_TO_A_DIFFERENT_USER",
    AssignmentRefusal.DISSIMILAR: "LOW_MATCH_CONFIDENCE",
}


async def create_user(call: Call) -> Result:
    user = call.parameters["UserId"]
    async with call.changing() as services:

        async def work() -> Result:
            await services.subjects().create(call.collection, user, None, {})
            return {}

        return await call.run_once(services, work, about=f"{call.collection}/{user}")


async def delete_user(call: Call) -> Result:
    async with call.changing() as services:

        async def work() -> Result:
            await services.assignment().remove_subject(call.collection, call.parameters["UserId"])
            return {}

        return await call.run_once(services, work)


async def list_users(call: Call) -> Result:
    async with call.reading() as services:
        page = await services.assignment().list_page(call.collection, call.page(_PAGE))
    return {
        "Users": [{"UserId": user.subject, "UserStatus": _status(user.templates)} for user in page.items],
        "NextToken": page.next_cursor,
    }


async def associate_faces(call: Call) -> Result:
    user, scale = call.parameters["UserId"], await call.scale()
    min_cosine = scale.cosine(call.parameters.get("UserMatchThreshold", _THRESHOLD))
    async with call.changing() as services:

        async def work() -> Result:
            done = await services.assignment().assign(call.collection, user, _ids(call), min_similarity=min_cosine)
            return {
                "AssociatedFaces": [{"FaceId": str(face_id)} for face_id in done.moved],
                "UnsuccessfulFaceAssociations": _refused(call, done.refused, scale),
                "UserStatus": _status(done.faces),
            }

        return await call.run_once(services, work, about=f"{call.collection}/{user}")


async def disassociate_faces(call: Call) -> Result:
    user = call.parameters["UserId"]
    async with call.changing() as services:

        async def work() -> Result:
            done = await services.assignment().unassign(call.collection, user, _ids(call))
            return {
                "DisassociatedFaces": [{"FaceId": str(face_id)} for face_id in done.moved],
                "UnsuccessfulFaceDisassociations": _refused(call, done.refused),
                "UserStatus": _status(done.faces),
            }

        return await call.run_once(services, work, about=f"{call.collection}/{user}")


def _ids(call: Call) -> list[UUID]:
    return list(dict.fromkeys(UUID(face_id) for face_id in call.parameters["FaceIds"]))


def _refused(call: Call, refused: Sequence[RefusedFace], scale: SimilarityScale | None = None) -> list[dict[str, Any]]:
    entries = []
    for face in refused:
        entry: dict[str, Any] = {"FaceId": str(face.id), "UserId": face.subject, "Reasons": [_REASONS[face.reason]]}
        # Similarities are shown only to callers who may recognize.
        may_recognize = call.caller.principal.may(Permission.RECOGNIZE)
        if face.similarity is not None and scale is not None and may_recognize:
            entry["Confidence"] = scale.percent(face.similarity)
        entries.append({name: value for name, value in entry.items() if value is not None})
    return entries


def _status(faces: int) -> str:
    return "ACTIVE" if faces else "CREATED"
