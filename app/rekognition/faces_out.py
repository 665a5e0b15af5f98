"""Faces as the protocol shows them. What our models cannot know is left out, never invented."""

from typing import Any

from app.domain.faces import BoundingBox, Face, QualityReason, RelativeBox
from app.domain.people import CollectionFace
from app.rekognition.arns import model_version

_LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")

REASONS = {
    QualityReason.TOO_SMALL: "SMALL_BOUNDING_BOX",
    QualityReason.BLURRED: "LOW_SHARPNESS",
    QualityReason.TOO_DARK: "LOW_BRIGHTNESS",
    QualityReason.TOO_BRIGHT: "LOW_FACE_QUALITY",
    QualityReason.TURNED_AWAY: "EXTREME_POSE",
    QualityReason.UNCERTAIN: "LOW_CONFIDENCE",
}

_HALF_SHARP = 150.0
"""The sharpness (variance of the Laplacian at a standard contrast) that is shown as 50."""


def show_box(box: RelativeBox) -> dict[str, float]:
    """A `BoundingBox`."""
    return {"Width": box.width, "Height": box.height, "Left": box.left, "Top": box.top}


def show_place(box: BoundingBox, width: int, height: int) -> dict[str, float]:
    """The `BoundingBox` of a face in a photo of this size."""
    return show_box(box.relative_to(width, height))


def show_detail(face: Face, width: int, height: int) -> dict[str, Any]:
    """A `FaceDetail`, and also a `ComparedFace`."""
    quality = face.quality
    return {
        "BoundingBox": show_place(face.box, width, height),
        "Landmarks": [
            {"Type": kind, "X": x / width, "Y": y / height}
            for kind, (x, y) in zip(_LANDMARKS, face.landmarks, strict=True)
        ],
        "Pose": {"Roll": quality.roll_deg, "Yaw": quality.yaw_deg, "Pitch": quality.pitch_deg},
        "Quality": {
            "Brightness": quality.brightness / 2.55,
            "Sharpness": 100 * quality.sharpness / (quality.sharpness + _HALF_SHARP),
        },
        "Confidence": show_certainty(face.detection_score),
    }


def show_stored(face: CollectionFace) -> dict[str, Any]:
    """A `Face`."""
    return {
        "FaceId": str(face.id),
        "BoundingBox": show_box(face.box) if face.box is not None else None,
        "ImageId": str(face.image_id) if face.image_id is not None else None,
        "ExternalImageId": face.external_image_id,
        "Confidence": show_certainty(face.detection_score),
        "IndexFacesModelVersion": model_version(face.recognizer),
        "UserId": face.subject,
    }


def show_certainty(detection_score: float) -> float:
    """How sure the detector is, in percent."""
    return 100 * max(0.0, min(1.0, detection_score))
