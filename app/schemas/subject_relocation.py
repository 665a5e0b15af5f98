"""Define the requests and responses of merged and moved subjects."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.schemas import answer_fields as answer
from app.schemas.fields import CollectionName, SubjectId
from app.schemas.request_body import RequestBody
from app.schemas.subjects import SubjectOut
from app.services.people.merging import Merger
from app.services.people.moving import Move


class MergeIn(RequestBody):
    """The subject that receives the faces of another."""

    into: SubjectId


class MoveIn(RequestBody):
    """The collection that a subject moves to, and its id there."""

    collection: CollectionName
    subject: Annotated[SubjectId | None, Field(description="A new id; null keeps the present one.")] = None


class MergedOut(BaseModel):
    """A subject after a merge."""

    subject: SubjectOut
    faces: int = Field(description="Number of faces that moved to the subject.", examples=[2])

    @classmethod
    def of(cls, merger: Merger) -> "MergedOut":
        return cls(subject=SubjectOut.of(merger.subject), faces=merger.faces)


class MovedOut(BaseModel):
    """A subject in its new collection."""

    collection: answer.Collection
    subject: SubjectOut
    faces: int = Field(description="Number of faces that moved with the subject.", examples=[3])
    dropped_templates: int = Field(
        description="Number of templates that were erased: of recognizers that the collection does not use.",
        examples=[0],
    )
    dropped_faces: int = Field(
        description="Number of faces that were erased, because all their templates were.", examples=[0]
    )

    @classmethod
    def of(cls, move: Move) -> "MovedOut":
        return cls(
            collection=move.collection,
            subject=SubjectOut.of(move.subject),
            faces=move.faces.faces,
            dropped_templates=move.faces.dropped_templates,
            dropped_faces=move.faces.dropped_faces,
        )
