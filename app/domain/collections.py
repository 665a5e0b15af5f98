"""Collections and their recognizers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.decisions import DEFAULT_POLICY, DecisionPolicy


@dataclass(frozen=True, slots=True)
class Recognizers:
    """A collection's recognizers: searches use `in_use`; `secondary` also embeds new faces during a migration."""

    in_use: str
    secondary: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """Both recognizers, the one in use first."""
        return (self.in_use,) if self.secondary is None else (self.in_use, self.secondary)


@dataclass(frozen=True, slots=True)
class Collection:
    """A tenant's named gallery, with its counts and decision settings."""

    id: UUID
    name: str
    created_at: datetime
    subjects: int
    templates: int
    policy: DecisionPolicy = DEFAULT_POLICY
    calibration: dict[str, Any] | None = None
    """Calibration from the collection's own impostor pairs (recognizer, points, source); None if there is none."""
    recognizer: str | None = None
    """Searches use this recognizer's templates; None until a face is stored, when it becomes the server's first."""
    secondary: str | None = None
    """New faces are also embedded with this recognizer during a migration."""


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection's row, without counts."""

    id: UUID
    name: str
    created_at: datetime
    tags: Mapping[str, str]
    recognizer: str | None
    secondary_recognizer: str | None
    calibration: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """The number of faces that have a recognizer's template, and of the subjects with such faces."""

    faces: int
    subjects: int
