"""Define the requests and responses of searches for people in an album."""

from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from app.domain.decisions import Decision, DecisionLimit
from app.schemas import answer_fields as answer
from app.schemas.fields import JSON_NUMBER, CollectionName, Id, SubjectId, Threshold
from app.schemas.origins import RelativeBoxBody
from app.schemas.recognition import DecisionBasisOut, describe_thresholds, round_rate
from app.schemas.request_body import RequestBody
from app.services.albums.search import MAX_PEOPLE, AlbumSearchResult, FoundFace, FoundPhoto, MatchMode
from app.services.paging import PageRequest

_MAX_LIMIT = 1_000

Mode = Annotated[
    MatchMode,
    Field(description="`any`: photos that show at least one of the people. `all`: photos that show all of them."),
]


class LowestDecision(StrEnum):
    """How sure a photo must be to be found."""

    MATCH = "match"
    REVIEW = "review"


Lowest = Annotated[
    LowestDecision,
    Field(
        description="`match`: only photos of at least this decision. `review`: also those to be looked at by a person."
    ),
]
Limit = Annotated[int, Field(ge=1, le=_MAX_LIMIT, description="Maximum number of photos per page.")]
Cursor = Annotated[
    str,
    Field(max_length=2048, description="The `next_cursor` of the previous page; send it with the same people again."),
]


class AlbumSearchForm(RequestBody):
    """The text fields of `POST /albums/{album}/search`."""

    match: Mode = MatchMode.ANY
    decision: Lowest = LowestDecision.REVIEW
    threshold: Threshold | None = None
    limit: Limit = 100
    cursor: Cursor | None = None

    def page(self) -> PageRequest:
        return PageRequest(self.limit, self.cursor)


class PersonIn(RequestBody):
    """A registered person: a subject of a collection, or one stored face of it."""

    collection: CollectionName
    subject: SubjectId | None = None
    face_id: Id | None = None

    @model_validator(mode="after")
    def _must_name_one(self) -> Self:
        if (self.subject is None) == (self.face_id is None):
            raise ValueError("must have either subject or face_id")
        return self


class PeopleSearchIn(RequestBody):
    """Registered people to look for."""

    people: list[PersonIn] = Field(min_length=1, max_length=MAX_PEOPLE)
    match: Mode = MatchMode.ANY
    decision: Lowest = LowestDecision.REVIEW
    threshold: Annotated[Threshold, JSON_NUMBER] | None = None
    limit: Annotated[Limit, JSON_NUMBER] = 100
    cursor: Cursor | None = None

    def page(self) -> PageRequest:
        return PageRequest(self.limit, self.cursor)


class FoundFaceOut(BaseModel):
    """A face in the photo that resembles one of the people."""

    face_id: answer.FaceId
    person: int = Field(description="Which of the people, in the order of the request, from 0.", examples=[0])
    bounding_box: RelativeBoxBody | None
    similarity: float = Field(description="Cosine similarity, -1 to 1.", examples=[0.7312])
    decision: Decision = Field(examples=[Decision.MATCH])
    decision_limits: list[DecisionLimit] = Field(
        description="Why the decision is `review` at most: the quality of the face in your photo or in the album's.",
        examples=[[]],
    )
    false_match_rate: float | None = Field(
        description="How often a search for somebody who is not in the album finds a face at least this similar. Null "
        "if `decision_limits` is not empty.",
        examples=[2.5e-05],
    )

    @classmethod
    def of(cls, found: FoundFace) -> "FoundFaceOut":
        face = found.candidate.face
        rate = found.false_match_rate
        return cls(
            face_id=face.id,
            person=found.person,
            bounding_box=RelativeBoxBody.of(face.box) if face.box is not None else None,
            similarity=round(found.candidate.similarity, 4),
            decision=found.decision,
            decision_limits=list(found.limits),
            false_match_rate=None if rate is None else round_rate(rate),
        )


class FoundPhotoOut(BaseModel):
    """A photo that shows the people."""

    external_id: str | None = Field(description="Your id for the photo.", examples=["IMG_0001.jpg"])
    image_id: UUID = Field(examples=["3d1c58f0-5b5e-4a4c-9d0a-1f2b7c1a9e66"])
    faces: list[FoundFaceOut] = Field(description="The faces found in it, most similar first.")

    @classmethod
    def of(cls, photo: FoundPhoto) -> "FoundPhotoOut":
        faces = [FoundFaceOut.of(face) for face in photo.faces]
        return cls(external_id=photo.external_id, image_id=photo.photo_id, faces=faces)


class AlbumSearchOut(DecisionBasisOut):
    """One page of the photos that show the people, most similar first. `total` counts all pages."""

    recognizer: answer.Recognizer
    total: int = Field(description="How many photos were found.", examples=[87])
    items: list[FoundPhotoOut]
    next_cursor: str | None = Field(
        description="Send it as `cursor`, with the same people, to get the next page. Null on the last page.",
        examples=[None],
    )

    @classmethod
    def of(cls, result: AlbumSearchResult) -> "AlbumSearchOut":
        return cls(
            recognizer=result.recognizer,
            total=result.total,
            items=[FoundPhotoOut.of(photo) for photo in result.photos],
            next_cursor=result.next_cursor,
            **describe_thresholds(result.thresholds),
        )
