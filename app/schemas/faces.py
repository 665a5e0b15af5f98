"""Faces as callers see them."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from app.domain.faces import Analysis, Face, Quality, QualityReason
from app.errors import AppError


class BoxOut(BaseModel):
    """A face's box in pixels of the upright image, from its top left corner; it may reach beyond the edge."""

    x: float
    y: float
    width: float
    height: float


class LandmarksOut(BaseModel):
    """Five points `[x, y]` in pixels of the upright image; left and right as seen in the image."""

    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    nose: tuple[float, float]
    mouth_left: tuple[float, float]
    mouth_right: tuple[float, float]


class QualityReasonOut(BaseModel):
    """One thing wrong with a face."""

    reason: QualityReason
    value: float
    limit: float


class QualityOut(BaseModel):
    """What was measured; `acceptable` says whether the face could be registered."""

    acceptable: bool
    reasons: list[QualityReasonOut]
    face_pixels: float = Field(description="Shorter side of the box, pixels.")
    sharpness: float = Field(description="Variance of the Laplacian at a standard contrast.")
    brightness: float = Field(description="Mean gray of the face, 0 to 255.")
    yaw_deg: float
    pitch_deg: float
    roll_deg: float

    @classmethod
    def of(cls, quality: Quality) -> "QualityOut":
        """From the domain's value."""
        reasons = [
            QualityReasonOut(reason=found.reason, value=round(found.value, 1), limit=found.limit)
            for found in quality.findings
        ]
        return cls(
            acceptable=quality.is_acceptable,
            reasons=reasons,
            face_pixels=round(quality.face_pixels, 1),
            sharpness=round(quality.sharpness, 1),
            brightness=round(quality.brightness, 1),
            yaw_deg=round(quality.yaw_deg, 1),
            pitch_deg=round(quality.pitch_deg, 1),
            roll_deg=round(quality.roll_deg, 1),
        )


class FaceOut(BaseModel):
    """One detected face."""

    box: BoxOut
    landmarks: LandmarksOut
    detection_score: float = Field(description="The detector's certainty, 0 to 1.")
    quality: QualityOut

    @classmethod
    def of(cls, face: Face) -> "FaceOut":
        """From the domain's value."""
        return cls(**describe_face(face))


class ImageOut(BaseModel):
    """The upright image's size in pixels."""

    width: int
    height: int


class DetectOut(BaseModel):
    """All faces of an image, largest first."""

    image: ImageOut
    faces: list[FaceOut]

    @classmethod
    def of(cls, analysis: Analysis) -> "DetectOut":
        """From the domain's value."""
        image = ImageOut(width=analysis.width, height=analysis.height)
        return cls(image=image, faces=[FaceOut.of(face) for face in analysis.faces])


class ExtractedFaceOut(FaceOut):
    """One detected face with its embedding."""

    embedding: list[float] = Field(description="512 numbers, unit length.", min_length=512, max_length=512)


class ExtractOut(BaseModel):
    """All faces of an image with their embeddings; compare only embeddings of one `recognizer`."""

    image: ImageOut
    recognizer: str = Field(examples=["w600k_r50:4c06341c33c2ca1f"])
    faces: list[ExtractedFaceOut]

    @classmethod
    def of(cls, analysis: Analysis, recognizer: str) -> "ExtractOut":
        """From the domain's value."""
        faces = [
            ExtractedFaceOut(**describe_face(face), embedding=embedding.tolist())
            for face, embedding in zip(analysis.faces, analysis.embeddings, strict=True)
        ]
        return cls(image=ImageOut(width=analysis.width, height=analysis.height), recognizer=recognizer, faces=faces)


class ImageProblemOut(BaseModel):
    """Why one of several images could not be used."""

    code: str = Field(examples=["image_truncated"])
    detail: str

    @classmethod
    def of(cls, error: AppError) -> "ImageProblemOut":
        """From the error of the image."""
        return cls(code=error.code, detail=error.detail)


class ExtractedImageOut(BaseModel):
    """One of several images: its faces, or why it could not be used."""

    index: int = Field(description="Place among the request's images, from 0.")
    image: ImageOut | None = None
    faces: list[ExtractedFaceOut] = []
    error: ImageProblemOut | None = None


class ExtractBatchOut(BaseModel):
    """The faces of each image with their embeddings; compare only embeddings of one `recognizer`."""

    recognizer: str = Field(examples=["w600k_r50:4c06341c33c2ca1f"])
    images: list[ExtractedImageOut]

    @classmethod
    def of(cls, found: Sequence[Analysis | AppError], recognizer: str) -> "ExtractBatchOut":
        """From the service's results, in the order of the images."""
        images = []
        for index, analysis in enumerate(found):
            if isinstance(analysis, AppError):
                images.append(ExtractedImageOut(index=index, error=ImageProblemOut.of(analysis)))
            else:
                one = ExtractOut.of(analysis, recognizer)
                images.append(ExtractedImageOut(index=index, image=one.image, faces=one.faces))
        return cls(recognizer=recognizer, images=images)


def describe_face(face: Face) -> dict[str, object]:
    """The fields of `FaceOut`, for it and the models that extend it."""
    box, points = face.box, [(round(x, 1), round(y, 1)) for x, y in face.landmarks]
    return {
        "box": BoxOut(x=round(box.x, 1), y=round(box.y, 1), width=round(box.width, 1), height=round(box.height, 1)),
        "landmarks": LandmarksOut(
            left_eye=points[0], right_eye=points[1], nose=points[2], mouth_left=points[3], mouth_right=points[4]
        ),
        "detection_score": round(face.detection_score, 4),
        "quality": QualityOut.of(face.quality),
    }
