"""A person as they are taken along: everything held, in a form that programs read and Vultus takes in again."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID, uuid4

import numpy as np
from pydantic import BaseModel, ConfigDict, FailFast, Field

from app.domain.faces import EMBEDDING_SIZE
from app.domain.people import Consent, ExportedFace, Subject
from app.schemas.audit import AuditEntryOut
from app.schemas.fields import CollectionName, ConsentReference, DisplayName, Expiry, Label, Metadata, Moment, SubjectId
from app.services.people.portability import SubjectExport

MAX_COMMON_TEMPLATES = 2_000
"""A thousand faces by two recognizers."""


class ExportedConsent(BaseModel):
    """A consent as it was recorded."""

    reference: ConsentReference
    recorded_at: Moment
    recorded_by: Label
    withdrawn_at: Moment | None = None


class ExportedFaceBody(BaseModel):
    """A stored face, as one recognizer embedded it; there is no photo."""

    face_id: UUID | None = Field(default=None, description="The same of a face that two recognizers embedded.")
    recognizer: Label
    embedding: Annotated[
        list[Annotated[float, Field(ge=-1.01, le=1.01, allow_inf_nan=False)]],
        FailFast(),
        Field(description="512 numbers, unit length.", min_length=EMBEDDING_SIZE, max_length=EMBEDDING_SIZE),
    ]
    detection_score: Annotated[float, Field(ge=0, le=1)]
    quality: dict[Label, Annotated[float, Field(allow_inf_nan=False)]] = Field(max_length=20)
    source: Label
    created_at: Moment

    @classmethod
    def of(cls, face: ExportedFace) -> "ExportedFaceBody":
        """From the domain's value."""
        return cls(
            face_id=face.id,
            recognizer=face.recognizer,
            embedding=[round(float(value), 7) for value in face.embedding],
            detection_score=face.detection_score,
            quality=face.quality,
            source=face.source,
            created_at=face.created_at,
        )

    def face(self) -> ExportedFace:
        """As the domain's value."""
        embedding = np.asarray(self.embedding, dtype=np.float32)
        return ExportedFace(
            self.face_id or uuid4(),
            self.recognizer,
            embedding,
            self.detection_score,
            self.quality,
            self.source,
            self.created_at,
        )


class SubjectDocument(BaseModel):
    """Everything held about one person. What came along for reading only (`audit`, times) is not taken in."""

    model_config = ConfigDict(title="SubjectExport")

    format: Literal["vultus.subject/1"] = "vultus.subject/1"
    collection: CollectionName
    subject: SubjectId
    name: DisplayName | None = None
    metadata: Metadata = Field(default_factory=dict)
    consent: ExportedConsent | None = None
    expires_at: Expiry | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    faces: Annotated[list[ExportedFaceBody], FailFast(), Field(max_length=MAX_COMMON_TEMPLATES)] = Field(
        default_factory=list
    )
    audit: list[AuditEntryOut] = Field(default_factory=list, max_length=MAX_COMMON_TEMPLATES)

    @classmethod
    def of(cls, export: SubjectExport) -> "SubjectDocument":
        """From the service's result."""
        subject = export.subject
        return cls.model_construct(
            format="vultus.subject/1",
            collection=export.collection,
            subject=subject.subject,
            name=subject.name,
            metadata=subject.metadata,
            consent=_describe(subject.consent),
            expires_at=subject.expires_at,
            created_at=subject.created_at,
            updated_at=subject.updated_at,
            faces=[ExportedFaceBody.of(face) for face in export.faces],
            audit=[AuditEntryOut.of(entry) for entry in export.audit],
        )

    def to_subject(self, now: datetime) -> Subject:
        """As the service takes it in."""
        consent = self.consent
        return Subject(
            self.subject,
            self.name,
            self.metadata,
            now,
            now,
            0,
            Consent(consent.reference, consent.recorded_at, consent.recorded_by, consent.withdrawn_at)
            if consent is not None
            else None,
            self.expires_at,
        )


def _describe(consent: Consent | None) -> ExportedConsent | None:
    if consent is None:
        return None
    return ExportedConsent(
        reference=consent.reference,
        recorded_at=consent.recorded_at,
        recorded_by=consent.recorded_by,
        withdrawn_at=consent.withdrawn_at,
    )
