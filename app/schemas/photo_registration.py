"""Define the request and response of `POST /register/all`."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.faces import QualityBar
from app.schemas.faces import FACES_LEFT_OUT, FaceOut, ImageOut
from app.schemas.fields import CollectionName, ExternalImageId
from app.schemas.origins import OriginOut, describe_origin
from app.schemas.request_body import RequestBody
from app.services.people.anonymous_registration import PhotoRegistration

MAX_FACES = 100


class RegisterAllForm(RequestBody):
    """The text fields of `POST /register/all`."""

    collection: CollectionName = "default"
    external_image_id: ExternalImageId | None = Field(
        default=None,
        description="Your id for the photo. Sending the same photo with the same id again stores no duplicates.",
    )
    limit: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_FACES,
            description="Maximum number of faces to store. Faces of acceptable quality come first, then larger faces.",
        ),
    ] = MAX_FACES
    quality: QualityBar = Field(
        default=QualityBar.AUTO,
        description="The required face quality. `auto` is the quality that `POST /register` requires.",
    )


class StoredPhotoFaceOut(OriginOut):
    """A face in the photo that is stored, from this request or an earlier one."""

    face_id: UUID = Field(examples=["aa6b4d99-8305-48a8-8ad1-e5994b7e7bee"])
    subject: str = Field(
        description="The subject that searches return for this face: an anonymous subject with a generated id, or the "
        "named subject that it was assigned to.",
        examples=["emp-1042"],
    )
    face: FaceOut


class SkippedFaceOut(BaseModel):
    """A face that was not stored."""

    reasons: list[str] = Field(
        description="The quality checks that the face failed. Empty if `limit` was reached by other faces.",
        examples=[["blurred"]],
    )
    face: FaceOut


class RegisterAllOut(BaseModel):
    """The faces in the photo: those that are stored, and those that were skipped."""

    collection: str = Field(examples=["default"])
    image: ImageOut
    stored: list[StoredPhotoFaceOut]
    skipped: list[SkippedFaceOut] = Field(examples=[[]])
    faces_left_out: int = Field(description=FACES_LEFT_OUT, examples=[0])

    @classmethod
    def of(cls, form: RegisterAllForm, registration: PhotoRegistration) -> "RegisterAllOut":
        return cls(
            collection=form.collection,
            image=ImageOut(width=registration.width, height=registration.height),
            stored=[
                StoredPhotoFaceOut(
                    face_id=found.stored.id,
                    subject=found.subject,
                    **describe_origin(found.stored.origin),
                    face=FaceOut.of(found.face),
                )
                for found in registration.stored
            ],
            skipped=[
                SkippedFaceOut(reasons=[reason.value for reason in found.reasons], face=FaceOut.of(found.face))
                for found in registration.skipped
            ],
            faces_left_out=registration.left_out,
        )
