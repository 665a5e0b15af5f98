"""Age and gender where the model pack has a network for them, and placeholders for attributes that nobody estimates.

Placeholders are for programs that crash where attributes are absent. They are off unless the tenant turns them on
(`PUT /api/v1/rekognition-options`), and say nothing about the face.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.faces import Face, FaceAttributes
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


AGE_MARGIN = 5
"""Years below and above the estimated age in `AgeRange`; not a measured error."""


def _show_age_range(attributes: FaceAttributes) -> dict[str, Any]:
    return {"Low": max(0, attributes.age - AGE_MARGIN), "High": attributes.age + AGE_MARGIN}


def _show_gender(attributes: FaceAttributes) -> dict[str, Any]:
    return {"Value": "Male" if attributes.is_male else "Female", "Confidence": 100 * attributes.gender_score}


_ESTIMATES: dict[str, Callable[[FaceAttributes], dict[str, Any]]] = {
    "AGE_RANGE": _show_age_range,
    "GENDER": _show_gender,
}


@dataclass(frozen=True, slots=True)
class RequestedAttributes:
    """What a list of attributes asks for; an estimate replaces the placeholder."""

    estimates: Sequence[str]
    placeholders: Mapping[str, Any]

    @property
    def need_network(self) -> bool:
        """Whether age or gender must be estimated."""
        return bool(self.estimates)

    def of(self, face: Face) -> dict[str, Any]:
        """Return the requested members of a face's `FaceDetail`."""
        shown = dict(self.placeholders)
        if face.attributes is not None:
            for name in self.estimates:
                shown[_PLACEHOLDERS[name][0]] = _ESTIMATES[name](face.attributes)
        return shown


async def requested_attributes(call: Call, member: str) -> RequestedAttributes:
    """Return what a list of attributes asks for; no placeholders unless the tenant turned them on."""
    requested: Sequence[str] = call.parameters.get(member, ())
    names = [name for name in _PLACEHOLDERS if name in requested or "ALL" in requested]
    if not names:
        return RequestedAttributes((), {})
    async with call.reading() as services:
        options = await services.protocol_options().get()
    placeholders = dict(_PLACEHOLDERS[name] for name in names) if options.placeholder_attributes else {}
    return RequestedAttributes([name for name in names if name in _ESTIMATES], placeholders)
