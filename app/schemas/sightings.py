"""Define the requests and responses of sightings."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from app.domain.sightings import Sighting, SightingState, Verdict
from app.errors import AppError
from app.schemas import answer_fields as answer
from app.schemas.batches import PhotoProblemOut, list_items
from app.schemas.fields import CollectionName, Id, SubjectId
from app.schemas.origins import RelativeBoxBody
from app.schemas.recognition import round_rate
from app.schemas.request_body import RequestBody
from app.services.sightings.named_people import NamedPerson
from app.services.sightings.sightings import Decided, DecidedSightings

_MAX_DECISIONS = 1_000
_STORED_FACE_ID = answer.FACE_ID
CLUSTER_ID = "c2d9e3a4-6b1f-4f0e-9a57-2f8e1d0b7a35"
OPERATION_ID = "9b1f2c64-1f5e-4a57-8a30-0d6f5b7c2e19"


class SeenSubjectOut(BaseModel):
    """The subject that a face shows, or may show."""

    collection: answer.Collection
    subject: answer.SubjectText
    name: answer.Name | None


class SightingOut(BaseModel):
    """A face of an album's photo or of a pool, and whom it shows as far as that is known."""

    face_id: answer.FaceId
    album: str = Field(description="The album, or the collection whose pool it is.", examples=["wedding-2026"])
    external_id: str | None = Field(
        description="Your id for the photo. Null for a face of a pool that was sent without one.",
        examples=["IMG_0001.jpg"],
    )
    image_id: UUID = Field(examples=["3d1c58f0-5b5e-4a4c-9d0a-1f2b7c1a9e66"])
    bounding_box: RelativeBoxBody | None
    state: SightingState = Field(examples=[SightingState.MATCHED])
    subject: SeenSubjectOut | None = Field(description="Null if nobody resembles the face.")
    similarity: float | None = Field(
        description="Cosine with the subject's most similar template. Null where a person named the subject.",
        examples=[0.7312],
    )
    false_match_rate: float | None = Field(
        description="How often a search for somebody who is not in the collection finds a face at least this similar. "
        "Null if it was not measured for faces of such quality, or where a person named the subject.",
        examples=[2.5e-05],
    )
    decided_by: str = Field(
        description="`machine`, or the login that decided. What a person decided, the machine never changes.",
        examples=["machine"],
    )
    decided_at: answer.UpdatedAt
    seen_at: answer.CreatedAt
    cluster_id: UUID | None = Field(
        description="Unknown faces with the same one probably show one person. Null if the face is known or ignored, "
        "and for a moment after it arrived.",
        examples=[CLUSTER_ID],
    )

    @classmethod
    def of(cls, sighting: Sighting) -> "SightingOut":
        rate = sighting.false_match_rate
        return cls(
            face_id=sighting.face_id,
            album=sighting.album,
            external_id=sighting.external_id,
            image_id=sighting.photo_id,
            bounding_box=RelativeBoxBody.of(sighting.box) if sighting.box is not None else None,
            state=sighting.state,
            subject=describe_seen(sighting),
            similarity=None if sighting.similarity is None else round(sighting.similarity, 4),
            false_match_rate=None if rate is None else round_rate(rate),
            decided_by=sighting.decided_by,
            decided_at=sighting.decided_at,
            seen_at=sighting.seen_at,
            cluster_id=sighting.cluster_id,
        )


def describe_seen(sighting: Sighting) -> SeenSubjectOut | None:
    """Return the subject that a sighting shows, or may show."""
    seen = sighting.subject
    if seen is None:
        return None
    return SeenSubjectOut(collection=seen.collection, subject=seen.subject, name=seen.name)


class SightingPage(BaseModel):
    """One page of sightings."""

    items: list[SightingOut]
    next_cursor: answer.NextCursor


class NamedPersonIn(RequestBody):
    """A subject of a collection."""

    collection: CollectionName
    subject: SubjectId

    def named(self) -> NamedPerson:
        return NamedPerson(self.collection, self.subject)


class SightingDecisionIn(RequestBody):
    """What a person says about one face."""

    face_id: Id = Field(examples=[answer.FACE_ID])
    verdict: Verdict = Field(
        description="`confirm`: it shows the suggested subject, or `person`. `reject`: it does not show the suggested "
        "one, who is never suggested for it again. `ignore`: it does not matter who it is. `reopen`: the machine "
        "decides again, and forgets what was rejected.",
        examples=[Verdict.CONFIRM],
    )
    person: NamedPersonIn | None = Field(default=None, description="Whom the face shows; with `confirm` only.")
    as_template: bool = Field(
        default=False,
        strict=True,
        description="Also store the face for the subject, as a registration does; with `confirm` only.",
    )

    @model_validator(mode="after")
    def _must_confirm(self) -> Self:
        if self.as_template and self.verdict is not Verdict.CONFIRM:
            raise ValueError("as_template belongs to the verdict confirm")
        if self.person is not None and self.verdict is not Verdict.CONFIRM:
            raise ValueError("person belongs to the verdict confirm")
        return self

    def decided(self) -> Decided:
        person = None if self.person is None else self.person.named()
        return Decided(self.face_id, self.verdict, person, self.as_template)


class SightingDecisionsIn(RequestBody):
    """Decisions about up to 1,000 faces."""

    decisions: list[SightingDecisionIn] = Field(min_length=1, max_length=_MAX_DECISIONS)

    @model_validator(mode="after")
    def _must_differ(self) -> Self:
        seen = set[UUID]()
        for decision in self.decisions:
            if decision.face_id in seen:
                raise ValueError(f"face {decision.face_id} is decided twice")
            seen.add(decision.face_id)
        return self


class ConfirmationIn(RequestBody):
    """Whom a face shows."""

    person: NamedPersonIn | None = Field(default=None, description="Default: the suggested subject.")
    as_template: bool = Field(
        default=False, strict=True, description="Also store the face for the subject, as a registration does."
    )

    def confirmed(self, face_id: UUID) -> Decided:
        person = None if self.person is None else self.person.named()
        return Decided(face_id, Verdict.CONFIRM, person, self.as_template)


class DecidedSightingOut(BaseModel):
    """A sighting as it is now."""

    operation_id: UUID = Field(
        description="Undo it with `POST /operations/{operation_id}/undo`.", examples=[OPERATION_ID]
    )
    sighting: SightingOut
    stored_face_id: UUID | None = Field(
        description="The face that was stored for the subject with `as_template`.", examples=[_STORED_FACE_ID]
    )


class DecidedItemOut(BaseModel):
    """One decision: the sighting as it is now, or a problem."""

    index: int = Field(description="Position among the decisions, from 0.", examples=[0])
    answer: SightingOut | None = Field(description="Null if `problem` is set.")
    problem: PhotoProblemOut | None = Field(description="Why the face was not decided. Null if `answer` is set.")
    stored_face_id: UUID | None = Field(
        description="The face that was stored for the subject with `as_template`.", examples=[_STORED_FACE_ID]
    )


class DecidedSightingsOut(BaseModel):
    """One item for each decision, in the order of the request."""

    operations: list[UUID] = Field(
        description="What was changed, one for each album: undo it with `POST /operations/{operation_id}/undo`.",
        examples=[[OPERATION_ID]],
    )
    items: list[DecidedItemOut]

    @classmethod
    def of(cls, decided: DecidedSightings) -> "DecidedSightingsOut":
        stored = [None if isinstance(one, AppError) else decided.stored.get(one.face_id) for one in decided.results]
        items = list_items(DecidedItemOut, decided.results, SightingOut.of, "decisions", stored_face_id=stored)
        return cls(operations=decided.operation_ids, items=items)


class UndoneOut(BaseModel):
    """How many sightings are as they were before the operation."""

    restored: int = Field(examples=[3])
