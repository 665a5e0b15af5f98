"""CreateUser, DeleteUser, ListUsers, AssociateFaces, DisassociateFaces: a user is a subject that somebody named.

Everything is done before the answer leaves, so nobody ever sees a user who is UPDATING.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.permissions import Permission
from app.rekognition.call import Answer, Call
from app.rekognition.similarity import SimilarityScale
from app.services.people.assignment import AssignmentRefusal, Refused

_PAGE = 500
_THRESHOLD = 75.0
_REASONS = {
    AssignmentRefusal.MISSING: "FACE_NOT_FOUND",
    AssignmentRefusal.ANOTHERS: "ASSOCIATED_TO_A_DIFFERENT_USER",
    AssignmentRefusal.UNLIKE: "LOW_MATCH_CONFIDENCE",
}


async def create_user(call: Call) -> Answer:
    user = call.given["UserId"]
    async with call.transaction() as services:

        async def work() -> Answer:
            await services.subjects().create(call.collection, user, None, {})
            return {}

        return await call.once(services, work, about=f"{call.collection}/{user}")


async def delete_user(call: Call) -> Answer:
    async with call.transaction() as services:

        async def work() -> Answer:
            await services.assignment().unname(call.collection, call.given["UserId"])
            return {}

        return await call.once(services, work)


async def list_users(call: Call) -> Answer:
    async with call.transaction() as services:
        page = await services.assignment().list_page(call.collection, call.page(_PAGE))
    return {
        "Users": [{"UserId": one.subject, "UserStatus": _status(one.templates)} for one in page.items],
        "NextToken": page.next_cursor,
    }


async def associate_faces(call: Call) -> Answer:
    user, scale = call.given["UserId"], await call.scale()
    least = scale.cosine(call.given.get("UserMatchThreshold", _THRESHOLD))
    async with call.transaction() as services:

        async def work() -> Answer:
            done = await services.assignment().give(call.collection, user, _ids(call), min_similarity=least)
            return {
                "AssociatedFaces": [{"FaceId": str(one)} for one in done.moved],
                "UnsuccessfulFaceAssociations": _refused(call, done.refused, scale),
                "UserStatus": _status(done.faces),
            }

        return await call.once(services, work, about=f"{call.collection}/{user}")


async def disassociate_faces(call: Call) -> Answer:
    user = call.given["UserId"]
    async with call.transaction() as services:

        async def work() -> Answer:
            done = await services.assignment().take(call.collection, user, _ids(call))
            return {
                "DisassociatedFaces": [{"FaceId": str(one)} for one in done.moved],
                "UnsuccessfulFaceDisassociations": _refused(call, done.refused),
                "UserStatus": _status(done.faces),
            }

        return await call.once(services, work, about=f"{call.collection}/{user}")


def _ids(call: Call) -> list[UUID]:
    return list(dict.fromkeys(UUID(one) for one in call.given["FaceIds"]))


def _refused(call: Call, refused: Sequence[Refused], scale: SimilarityScale | None = None) -> list[dict[str, Any]]:
    shown = []
    for one in refused:
        entry: dict[str, Any] = {"FaceId": str(one.id), "UserId": one.subject, "Reasons": [_REASONS[one.why]]}
        # How alike two faces are is told to those who may ask for it.
        may_know = call.caller.principal.may(Permission.RECOGNIZE)
        if one.similarity is not None and scale is not None and may_know:
            entry["Confidence"] = scale.percent(one.similarity)
        shown.append({name: value for name, value in entry.items() if value is not None})
    return shown


def _status(faces: int) -> str:
    return "ACTIVE" if faces else "CREATED"
