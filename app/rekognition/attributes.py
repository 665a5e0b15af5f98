"""Placeholders for the face attributes that no model estimates, for programs that crash where they are absent.

They are off unless the tenant turns them on (`PUT /api/v1/rekognition-options`), and say nothing about the face.
"""

from collections.abc import Sequence
from typing import Any

from app.rekognition.call import Call

UNKNOWN_GENDER = "Unknown"
"""Not in AWS's enumeration, which has no neutral value; SDKs pass unknown values on."""

_NO = {"Value": False, "Confidence": 0.0}
_PLACEHOLDERS: dict[str, tuple[str, Any]] = {
    "AGE_RANGE": ("AgeRange", {"Low": 0, "High": 120}),
    "BEARD": ("Beard", _NO),
    "EMOTIONS": ("Emotions", [{"Type": "UNKNOWN", "Confidence": 0.0}]),
    "EYE_DIRECTION": ("EyeDirection", {"Yaw": 0.0, "Pitch": 0.0, "Confidence": 0.0}),
    "EYEGLASSES": ("Eyeglasses", _NO),
    "EYES_OPEN": ("EyesOpen", _NO),
    "FACE_OCCLUDED": ("FaceOccluded", _NO),
    "GENDER": ("Gender", {"Value": UNKNOWN_GENDER, "Confidence": 0.0}),
    "MOUTH_OPEN": ("MouthOpen", _NO),
    "MUSTACHE": ("Mustache", _NO),
    "SMILE": ("Smile", _NO),
    "SUNGLASSES": ("Sunglasses", _NO),
}
"""By the attribute that asks for it: the member of `FaceDetail` and its value."""


async def requested_placeholders(call: Call, member: str) -> dict[str, Any]:
    """Return the placeholders that a list of attributes asks for; none unless the tenant turned them on."""
    requested: Sequence[str] = call.parameters.get(member, ())
    names = _PLACEHOLDERS if "ALL" in requested else [name for name in requested if name in _PLACEHOLDERS]
    if not names:
        return {}
    async with call.reading() as services:
        options = await services.protocol_options().get()
    return dict(_PLACEHOLDERS[name] for name in names) if options.placeholder_attributes else {}
