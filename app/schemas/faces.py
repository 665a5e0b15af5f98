"""Define the responses that describe faces: box, landmarks, quality and embedding."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.domain.faces import Analysis, Face, Quality, QualityReason
from app.schemas.answer_fields import RECOGNIZER

FACES_LEFT_OUT = "How many more faces were found: the smallest, beyond `VULTUS_MAX_FACES_PER_IMAGE`."


Pair = Annotated[tuple[float, float], Field(json_schema_extra={"items": {"type": "number"}})]
"""Two numbers. OpenAPI linters require `items` in every array, which pydantic omits for tuples."""


class BoxOut(BaseModel):
    """A face's bounding box in pixels of the upright image. It may extend beyond the image."""

    x: float = Field(description="Left edge, from the image's left edge.", examples=[82.0])
    y: float = Field(description="Top edge, from the image's top edge.", examples=[62.6])
    width: float = Field(examples=[156.2])
    height: float = Field(examples=[193.7])


class LandmarksOut(BaseModel):
    """Five points `[x, y]` in pixels of the upright image. Left and right are the viewer's."""

    left_eye: Pair = Field(examples=[(125.5, 127.6)])
    right_eye: Pair = Field(examples=[(194.3, 127.3)])
    nose: Pair = Field(examples=[(159.9, 167.1)])
    mouth_left: Pair = Field(examples=[(131.5, 207.6)])
    mouth_right: Pair = Field(examples=[(188.5, 207.4)])


class QualityReasonOut(BaseModel):
    """One quality check that the face failed."""

    reason: QualityReason
    value: float = Field(description="The measured value.", examples=[31.4])
    limit: float = Field(description="The limit that the value violates.", examples=[40.0])


class QualityOut(BaseModel):
    """The measured quality of a face."""

    acceptable: bool = Field(description="Whether the quality is high enough to register the face.", examples=[True])
    reasons: list[QualityReasonOut] = Field(
        description="The failed checks. Empty if the face is acceptable.", examples=[[]]
    )
    score: float | None = Field(
        description="Quality score, 0 to 100; below 30 the face is never a match. Null if the recognizer has no "
        "quality model.",
        examples=[71.3],
    )
    face_pixels: float = Field(description="Shorter side of the box in pixels.", examples=[156.2])
    sharpness: float = Field(description="Variance of the Laplacian, with the contrast normalized.", examples=[151.8])
    brightness: float = Field(description="Mean gray level of the face, 0 to 255.", examples=[94.5])
    yaw_deg: float = Field(description="Rotation to the side, in degrees.", examples=[3.2])
    pitch_deg: float = Field(description="Rotation up or down, in degrees.", examples=[-1.8])
    roll_deg: float = Field(description="Tilt in the image plane, in degrees.", examples=[-0.1])
    visible_share: float = Field(
        description="Share of the face's box that lies within the photo, 0 to 1.", examples=[1.0]
    )

    @classmethod
    def of(cls, quality: Quality) -> "QualityOut":
        reasons = [
            QualityReasonOut(reason=finding.reason, value=finding.round_value(1), limit=finding.limit)
            for finding in quality.findings
        ]
        return cls(
            acceptable=quality.is_acceptable,
            reasons=reasons,
            score=None if quality.score is None else round(quality.score, 1),
            face_pixels=round(quality.face_pixels, 1),
            sharpness=round(quality.sharpness, 1),
            brightness=round(quality.brightness, 1),
            yaw_deg=round(quality.yaw_deg, 1),
            pitch_deg=round(quality.pitch_deg, 1),
            roll_deg=round(quality.roll_deg, 1),
            visible_share=round(quality.visible_share, 2),
        )


class FaceOut(BaseModel):
    """One detected face."""

    box: BoxOut
    landmarks: LandmarksOut
    detection_score: float = Field(
        description="How certain the detector is that this is a face, 0 to 1.", examples=[0.9116]
    )
    rotation: int = Field(
        description="Degrees clockwise, 0, 90, 180 or 270, by which the photo must be turned to show the face upright. "
        "Box and landmarks are in the photo as it is.",
        examples=[0],
    )
    quality: QualityOut

    @classmethod
    def of(cls, face: Face) -> "FaceOut":
        return cls(**describe_face(face))


class ImageOut(BaseModel):
    """The size of the upright image in pixels."""

    width: int = Field(examples=[320])
    height: int = Field(examples=[320])


class DetectOut(BaseModel):
    """All faces in an image, largest first. `faces` is empty if there are none."""

    image: ImageOut
    faces: list[FaceOut]
    faces_left_out: int = Field(description=FACES_LEFT_OUT, examples=[0])

    @classmethod
    def of(cls, analysis: Analysis) -> "DetectOut":
        image = ImageOut(width=analysis.width, height=analysis.height)
        faces = [FaceOut.of(face) for face in analysis.faces]
        return cls(image=image, faces=faces, faces_left_out=analysis.left_out)


class ExtractedFaceOut(FaceOut):
    """One detected face with its embedding."""

    embedding: list[Annotated[float, Field(examples=[0.0442])]] = Field(
        description="512 numbers; a vector of unit length.", min_length=512, max_length=512
    )


class ExtractOut(BaseModel):
    """All faces in an image with their embeddings. Compare only embeddings from the same `recognizer`."""

    image: ImageOut
    recognizer: str = Field(examples=[RECOGNIZER])
    faces: list[ExtractedFaceOut]
    faces_left_out: int = Field(description=FACES_LEFT_OUT, examples=[0])

    @classmethod
    def of(cls, analysis: Analysis, recognizer: str) -> "ExtractOut":
        faces = [
            ExtractedFaceOut(**describe_face(face), embedding=embedding.tolist())
            for face, embedding in zip(analysis.faces, analysis.embeddings, strict=True)
        ]
        image = ImageOut(width=analysis.width, height=analysis.height)
        return cls(image=image, recognizer=recognizer, faces=faces, faces_left_out=analysis.left_out)


def describe_face(face: Face) -> dict[str, object]:
    """Return the fields of `FaceOut`, for it and for the models that extend it."""
    box, points = face.box, [(round(x, 1), round(y, 1)) for x, y in face.landmarks]
    return {
        "box": BoxOut(x=round(box.x, 1), y=round(box.y, 1), width=round(box.width, 1), height=round(box.height, 1)),
        "landmarks": LandmarksOut(
            left_eye=points[0], right_eye=points[1], nose=points[2], mouth_left=points[3], mouth_right=points[4]
        ),
        "detection_score": round(face.detection_score, 4),
        "rotation": face.rotation,
        "quality": QualityOut.of(face.quality),
    }
