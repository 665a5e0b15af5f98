"""Registering everybody in a photo, without saying who they are."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.faces import QualityBar
from app.schemas.faces import FaceOut, ImageOut
from app.schemas.fields import CollectionName, Label
from app.services.people.anonymous_registration import PhotoRegistration

MAX_FACES = 100


class RegisterAllForm(BaseModel):
    """The text fields of `POST /register/all`."""

    collection: CollectionName = "default"
    external_image_id: Label | None = Field(
        default=None, description="Your id of the photo; the same photo under the same id is not stored twice."
    )
    limit: Annotated[int, Field(ge=1, le=MAX_FACES, description="Faces, at most: the best, then the largest.")] = (
        MAX_FACES
    )
    quality: QualityBar = Field(
        default=QualityBar.AUTO, description="How good a face must be; `auto` is what `POST /register` demands."
    )


class StoredAllOut(BaseModel):
    """A face of the photo and what is stored of it, now or before."""

    face_id: UUID
    subject: str = Field(description="An id of its own, under which searches name it, unless somebody was named.")
    face: FaceOut


class SkippedFaceOut(BaseModel):
    """A face that was not stored."""

    reasons: list[str] = Field(description="What its quality lacks; none: there were enough better ones.")
    face: FaceOut


class RegisterAllOut(BaseModel):
    """What became of the faces of the photo."""

    collection: str
    image: ImageOut
    stored: list[StoredAllOut]
    skipped: list[SkippedFaceOut]

    @classmethod
    def of(cls, form: RegisterAllForm, done: PhotoRegistration) -> "RegisterAllOut":
        """From the service's result."""
        return cls(
            collection=form.collection,
            image=ImageOut(width=done.width, height=done.height),
            stored=[
                StoredAllOut(face_id=one.stored.id, subject=one.subject, face=FaceOut.of(one.face))
                for one in done.stored
            ],
            skipped=[
                SkippedFaceOut(reasons=[reason.value for reason in one.reasons], face=FaceOut.of(one.face))
                for one in done.skipped
            ],
        )
