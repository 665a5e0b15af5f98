"""Read the query parameters that several operations share."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from app.errors import InvalidParameter
from app.schemas.subject_names import to_subject_id
from app.services.photos.face_reader import FaceLimits

CALCULATOR, LANDMARKS, POSE = "calculator", "landmarks", "pose"
_PLUGINS = frozenset({CALCULATOR, LANDMARKS, POSE, "age", "gender", "mask"})
"""No network here tells a mask, and age and gender are left out: programs must not decide by them."""

MAX_PREDICTIONS = 100

MinScore = Annotated[float, Query(alias="det_prob_threshold", ge=0, le=1, allow_inf_nan=False)]
PredictionCount = Annotated[int, Query(ge=1, le=MAX_PREDICTIONS)]


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """Which faces of a photo to use, and what to show of each."""

    limits: FaceLimits
    plugins: Collection[str]
    has_status: bool


async def read_options(
    min_score: MinScore = 0.0,
    limit: Annotated[int, Query(ge=0, le=2**31)] = 0,
    face_plugins: Annotated[str, Query(max_length=200)] = "",
    status: Annotated[bool, Query()] = False,
) -> FaceOptions:
    """Read the options of operations that look for faces; raises `InvalidParameter` for an unknown plugin."""
    plugins = [plugin for plugin in (part.strip().lower() for part in face_plugins.split(",")) if plugin]
    unknown = next((plugin for plugin in plugins if plugin not in _PLUGINS), None)
    if unknown is not None:
        known = ", ".join(sorted(_PLUGINS))
        raise InvalidParameter(f"face_plugins: {unknown!r} is not a plugin; known are {known}.", field="face_plugins")
    return FaceOptions(FaceLimits(min_score, limit or None), frozenset(plugins), status)


OptionsDep = Annotated[FaceOptions, Depends(read_options)]


async def read_subject(subject: Annotated[str | None, Query()] = None) -> str | None:
    """Return the id of the subject that a query names; None if it names none."""
    return to_subject_id(subject) if subject else None


SubjectDep = Annotated[str | None, Depends(read_subject)]
