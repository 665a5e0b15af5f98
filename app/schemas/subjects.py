"""Subjects and their stored faces."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.domain import Subject, Template
from app.schemas.fields import DisplayName, Metadata, SubjectId


class SubjectIn(BaseModel):
    """A subject to create, without faces yet."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"subject": "emp-1042", "name": "Ada Acker", "metadata": {"team": 7}}},
    )

    subject: SubjectId
    name: DisplayName | None = None
    metadata: Metadata = Field(default_factory=dict)


class SubjectOut(BaseModel):
    """One person in one collection."""

    subject: str
    name: str | None
    metadata: dict[str, Any]
    templates: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, subject: Subject) -> "SubjectOut":
        """From the domain's value."""
        return cls(
            subject=subject.subject, name=subject.name, metadata=subject.metadata, templates=subject.templates,
            created_at=subject.created_at, updated_at=subject.updated_at,
        )  # fmt: skip


class SubjectPage(BaseModel):
    """One page of subjects."""

    items: list[SubjectOut]
    next_cursor: str | None


class StoredFaceOut(BaseModel):
    """A stored template; its embedding is not shown, and there is no photo."""

    face_id: UUID
    recognizer: str
    detection_score: float
    quality: dict[str, float]
    source: str
    created_at: datetime

    @classmethod
    def of(cls, template: Template) -> "StoredFaceOut":
        """From the domain's value."""
        return cls(
            face_id=template.id, recognizer=template.recognizer, detection_score=round(template.detection_score, 4),
            quality=template.quality, source=template.source, created_at=template.created_at,
        )  # fmt: skip


class StoredFacePage(BaseModel):
    """One page of stored faces."""

    items: list[StoredFaceOut]
    next_cursor: str | None
