"""Faces in the protocol's shapes. Attributes that our models do not estimate are left out."""

from typing import Any

from app.domain.faces import BoundingBox, Face, QualityReason, RelativeBox
from app.domain.people import CollectionFace
from app.rekognition.arns import model_version
from app.rekognition.confidence import confidence

_LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")

REASONS = {
    QualityReason.TOO_SMALL: "SMALL_BOUNDING_BOX",
    QualityReason.BLURRED: "LOW_SHARPNESS",
    QualityReason.TOO_DARK: "LOW_BRIGHTNESS",
    QualityReason.TOO_BRIGHT: "LOW_FACE_QUALITY",
    QualityReason.TURNED_AWAY: "EXTREME_POSE",
    QualityReason.CUT_OFF: "LOW_FACE_QUALITY",
    QualityReason.UNCERTAIN: "LOW_CONFIDENCE",
    QualityReason.UNRELIABLE: "LOW_FACE_QUALITY",
}

_HALF_SHARP = 150.0
"""The sharpness (variance of the Laplacian at normalized contrast) that is reported as 50 of 100."""


def show_box(box: RelativeBox) -> dict[str, float]:
    """Return a `BoundingBox`."""
    return {"Width": box.width, "Height": box.height, "Left": box.left, "Top": box.top}


def show_pixel_box(box: BoundingBox, width: int, height: int) -> dict[str, float]:
    """Return the `BoundingBox` of a face; width and height are the photo's, in pixels."""
    return show_box(box.relative_to(width, height))


def show_detail(face: Face, width: int, height: int) -> dict[str, Any]:
    """Return a `FaceDetail` or a `ComparedFace`, which have the same members here."""
    quality = face.quality
    return {
        "BoundingBox": show_pixel_box(face.box, width, height),
        "Landmarks": [
            {"Type": kind, "X": x / width, "Y": y / height}
            for kind, (x, y) in zip(_LANDMARKS, face.landmarks, strict=True)
        ],
        "Pose": {"Roll": quality.roll_deg, "Yaw": quality.yaw_deg, "Pitch": quality.pitch_deg},
        "Quality": {
            "Brightness": quality.brightness / 2.55,
            "Sharpness": 100 * quality.sharpness / (quality.sharpness + _HALF_SHARP),
        },
        "Confidence": confidence(face.detection_score),
    }


def show_stored(face: CollectionFace) -> dict[str, Any]:
    """Return a stored face as a `Face`."""
    return {
        "FaceId": str(face.id),
        "BoundingBox": show_box(face.box) if face.box is not None else None,
        "ImageId": str(face.image_id) if face.image_id is not None else None,
        "ExternalImageId": face.external_image_id,
        "Confidence": confidence(face.detection_score),
        "IndexFacesModelVersion": model_version(face.recognizer),
        "UserId": face.subject,
    }
