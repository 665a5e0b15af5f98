"""Define where a stored face comes from, as every answer about stored faces says it: its photo and its box there."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.faces import RelativeBox
from app.domain.people import UNKNOWN_ORIGIN, FaceOrigin, MatchedFace
from app.schemas.request_body import RequestBody

_EXTERNAL_IMAGE_ID = "Your id for the photo of the stored face, as sent when it was registered. Null if none was."
_IMAGE_ID = "The id of one registered photo; its faces share it. Null if the face was stored before photos had ids."
_BOUNDING_BOX = "The stored face's box in its photo. Null if the face was stored before boxes were."


class RelativeBoxBody(RequestBody):
    """A face's box in fractions of the upright photo's width and height. It may extend beyond the photo."""

    left: float = Field(ge=-100, le=100, allow_inf_nan=False, examples=[0.284])
    top: float = Field(ge=-100, le=100, allow_inf_nan=False, examples=[0.361])
    width: float = Field(ge=0, le=100, allow_inf_nan=False, examples=[0.375])
    height: float = Field(ge=0, le=100, allow_inf_nan=False, examples=[0.465])

    @classmethod
    def of(cls, box: RelativeBox) -> "RelativeBoxBody":
        """Return the box with six significant digits, as boxes are stored."""
        sides = (float(f"{side:.6g}") for side in (box.left, box.top, box.width, box.height))
        return cls(**dict(zip(cls.model_fields, sides, strict=True)))

    def box(self) -> RelativeBox:
        """Return the domain object."""
        return RelativeBox(self.left, self.top, self.width, self.height)


class OriginOut(BaseModel):
    """Where a stored face comes from."""

    external_image_id: str | None = Field(description=_EXTERNAL_IMAGE_ID, examples=["party-2026-017.jpg"])
    image_id: UUID | None = Field(description=_IMAGE_ID, examples=["3d1c58f0-5b5e-4a4c-9d0a-1f2b7c1a9e66"])
    bounding_box: RelativeBoxBody | None = Field(description=_BOUNDING_BOX)


class MatchOut(OriginOut):
    """The stored face that makes a subject a candidate, and where it comes from."""

    face_id: UUID | None = Field(
        description="The id of the stored face whose template is most similar.",
        examples=["aa6b4d99-8305-48a8-8ad1-e5994b7e7bee"],
    )


def describe_match(face: MatchedFace | None) -> dict[str, Any]:
    """Return the fields of `MatchOut`, for the models that extend it."""
    origin = face.origin if face is not None else UNKNOWN_ORIGIN
    return {"face_id": face.id if face is not None else None, **describe_origin(origin)}


def describe_origin(origin: FaceOrigin) -> dict[str, Any]:
    """Return the fields of `OriginOut`, for the models that extend it."""
    return {
        "external_image_id": origin.external_image_id,
        "image_id": origin.image_id,
        "bounding_box": RelativeBoxBody.of(origin.box) if origin.box is not None else None,
    }
