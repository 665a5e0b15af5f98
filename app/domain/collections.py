"""Collections and the recognizers they are searched and stored with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.decisions import DEFAULT_POLICY, DecisionPolicy


@dataclass(frozen=True, slots=True)
class Recognizers:
    """Who embeds a collection's faces: `in_use` is searched, with `beside` they are stored as well."""

    in_use: str
    secondary: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """The one in use first."""
        return (self.in_use,) if self.secondary is None else (self.in_use, self.secondary)


@dataclass(frozen=True, slots=True)
class Collection:
    """A tenant's named gallery."""

    id: UUID
    name: str
    created_at: datetime
    subjects: int
    templates: int
    policy: DecisionPolicy = DEFAULT_POLICY
    calibration: dict[str, Any] | None = None
    """Its own: recognizer, points, source."""
    recognizer: str | None = None
    """Whose templates are searched; None until a face is stored: the server's first."""
    secondary: str | None = None
    """With whose templates faces are stored as well."""


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection as it is stored, without counts."""

    id: UUID
    name: str
    created_at: datetime
    tags: Mapping[str, str]
    recognizer: str | None
    secondary_recognizer: str | None
    calibration: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many faces of how many subjects a recognizer embedded."""

    faces: int
    subjects: int
