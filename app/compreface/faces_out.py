"""Show faces in the protocol's shapes."""

from typing import Any

from app.compreface.options import CALCULATOR, LANDMARKS, POSE, FaceOptions
from app.domain.faces import BoundingBox, Face
from app.services.recognition.nearest import PhotoFace

DETECTOR = "vultus.FaceDetector"


def show_face(found: PhotoFace, options: FaceOptions) -> dict[str, Any]:
    """Return a face with what the options ask for."""
    shown = show_detected(found.face, options)
    if CALCULATOR in options.plugins:
        shown["embedding"] = [float(value) for value in found.embedding]
    return shown


def show_detected(face: Face, options: FaceOptions) -> dict[str, Any]:
    """Return a face without its embedding."""
    shown: dict[str, Any] = {"box": _show_box(face.box, face.detection_score)}
    if LANDMARKS in options.plugins:
        shown["landmarks"] = [[round(x), round(y)] for x, y in face.landmarks]
    if POSE in options.plugins:
        quality = face.quality
        shown["pose"] = {"pitch": quality.pitch_deg, "roll": quality.roll_deg, "yaw": quality.yaw_deg}
    return shown


def show_versions(recognizer: str, options: FaceOptions) -> dict[str, Any]:
    """Return the versions of the plugins, if `status` asks for them."""
    return {"plugins_versions": {"detector": DETECTOR, CALCULATOR: recognizer}} if options.has_status else {}


def _show_box(box: BoundingBox, probability: float) -> dict[str, Any]:
    return {
        "probability": round(probability, 5),
        "x_max": max(0, round(box.x + box.width)),
        "y_max": max(0, round(box.y + box.height)),
        "x_min": max(0, round(box.x)),
        "y_min": max(0, round(box.y)),
    }
