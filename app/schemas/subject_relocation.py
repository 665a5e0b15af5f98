"""Define the requests and responses of merged and moved subjects."""

from pydantic import BaseModel, Field

from app.schemas.fields import SubjectId
from app.schemas.request_body import RequestBody
from app.schemas.subjects import SubjectOut
from app.services.people.merging import Merger


class MergeIn(RequestBody):
    """The subject that receives the faces of another."""

    into: SubjectId


class MergedOut(BaseModel):
    """A subject after a merge."""

    subject: SubjectOut
    faces: int = Field(description="Number of faces that moved to the subject.", examples=[2])

    @classmethod
    def of(cls, merger: Merger) -> "MergedOut":
        return cls(subject=SubjectOut.of(merger.subject), faces=merger.faces)
