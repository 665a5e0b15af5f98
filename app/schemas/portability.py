"""Define the document in which a subject is exported and imported."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

import numpy as np
from pydantic import ConfigDict, FailFast, Field

from app.domain.faces import EMBEDDING_SIZE
from app.domain.people import Consent, ExportedFace, FaceOrigin, Subject
from app.domain.sightings import FaceDecisions
from app.schemas import answer_fields as answer
from app.schemas.audit import AuditEntryOut
from app.schemas.fields import (
    CollectionName,
    ConsentReference,
    DisplayName,
    Expiry,
    ExternalImageId,
    Id,
    Label,
    Metadata,
    SubjectId,
    Timestamp,
)
from app.schemas.origins import RelativeBoxBody, describe_origin
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import BASE64
from app.services.people.portability import SubjectExport
from app.services.people.portable_decisions import MAX_FACES as MAX_DECIDED

MAX_TEMPLATES = 2_000
"""1,000 faces, each embedded by two recognizers."""


def _close_names(schema: dict[str, Any]) -> None:
    """Say that every name must match the pattern; pydantic says only what belongs to names that match it."""
    ((pattern, value),) = schema.pop("patternProperties").items()
    name = {"pattern": pattern, "minLength": 1, "maxLength": 200}
    schema |= {"propertyNames": name, "additionalProperties": value}


Picture = Annotated[
    str,
    BASE64,
    Field(
        description="A JPEG of the face as base64, if its album keeps pictures. An import ignores it, because a "
        "picture belongs to a photo of an album.",
        examples=["/9j/4AAQSkZJRg=="],
    ),
]


class ExportedConsent(RequestBody):
    """A recorded consent."""

    reference: ConsentReference
    recorded_at: Timestamp = Field(examples=[answer.CREATED_AT])
    recorded_by: Label = Field(description="`user:<id>` or `key:<id>`.", examples=[answer.ACTOR])
    withdrawn_at: Timestamp | None = Field(default=None, examples=[None])


class ExportedFaceBody(RequestBody):
    """A template: a stored face as embedded by one recognizer."""

    face_id: Id | None = Field(
        default=None,
        description="The face's id. Templates of one face from two recognizers share it.",
        examples=[answer.FACE_ID],
    )
    recognizer: Label = Field(examples=[answer.RECOGNIZER])
    embedding: Annotated[
        list[Annotated[float, Field(strict=True, ge=-1.01, le=1.01, allow_inf_nan=False, examples=[0.0442])]],
        FailFast(),
        Field(
            description="512 numbers; a vector of unit length.", min_length=EMBEDDING_SIZE, max_length=EMBEDDING_SIZE
        ),
    ]
    detection_score: Annotated[float, Field(strict=True, ge=0, le=1, examples=[0.9116])]
    quality: dict[Label, Annotated[float, Field(strict=True, allow_inf_nan=False)]] = Field(
        max_length=20, json_schema_extra=_close_names, examples=[answer.QUALITY]
    )
    source: Label = Field(examples=["register"])
    created_at: Timestamp = Field(examples=[answer.CREATED_AT])
    external_image_id: ExternalImageId | None = None
    image_id: Id | None = Field(
        default=None,
        description="Faces of one registered photo share it.",
        examples=["3d1c58f0-5b5e-4a4c-9d0a-1f2b7c1a9e66"],
    )
    bounding_box: RelativeBoxBody | None = None
    picture: Picture | None = None

    @classmethod
    def of(cls, face: ExportedFace, picture: bytes | None = None) -> "ExportedFaceBody":
        return cls(
            picture=None if picture is None else b64encode(picture).decode(),
            face_id=face.id,
            recognizer=face.recognizer,
            embedding=[round(float(value), 7) for value in face.embedding],
            detection_score=face.detection_score,
            quality=face.quality,
            source=face.source,
            created_at=face.created_at,
            **describe_origin(face.origin),
        )

    def face(self) -> ExportedFace:
        """Return the domain object, with a new id if the document has none."""
        embedding = np.asarray(self.embedding, dtype=np.float32)
        return ExportedFace(
            self.face_id or uuid4(),
            self.recognizer,
            embedding,
            self.detection_score,
            self.quality,
            self.source,
            self.created_at,
            FaceOrigin(
                self.image_id,
                self.bounding_box.box() if self.bounding_box is not None else None,
                self.external_image_id,
            ),
        )


class SubjectDocument(RequestBody):
    """All stored data about one subject. An import ignores `audit`, `created_at` and `updated_at`."""

    model_config = ConfigDict(title="SubjectExport")

    format: Literal["vultus.subject/1"] = "vultus.subject/1"
    collection: CollectionName
    subject: SubjectId
    name: DisplayName | None = None
    metadata: Metadata = Field(default_factory=dict)
    consent: ExportedConsent | None = None
    expires_at: Expiry | None = None
    created_at: Timestamp | None = Field(default=None, examples=[answer.CREATED_AT])
    updated_at: Timestamp | None = Field(default=None, examples=[answer.UPDATED_AT])
    confirmed_faces: list[Id] = Field(
        default_factory=list,
        max_length=MAX_DECIDED,
        description="Faces in albums that a person said show the subject, the newest. An import confirms them again.",
        examples=[[answer.FACE_ID]],
    )
    rejected_faces: list[Id] = Field(
        default_factory=list,
        max_length=MAX_DECIDED,
        description="Faces in albums that a person said do not show the subject. They are never suggested again.",
        examples=[[]],
    )
    faces: Annotated[list[ExportedFaceBody], FailFast(), Field(max_length=MAX_TEMPLATES)] = Field(default_factory=list)
    audit: list[AuditEntryOut] = Field(default_factory=list, max_length=MAX_TEMPLATES)

    @classmethod
    def of(cls, export: SubjectExport) -> "SubjectDocument":
        """Return the document without its faces, which are written one by one."""
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
            confirmed_faces=list(export.decisions.confirmed),
            rejected_faces=list(export.decisions.rejected),
            faces=[],
            audit=[AuditEntryOut.of(entry) for entry in export.audit],
        )

    def decisions(self) -> FaceDecisions:
        return FaceDecisions(self.confirmed_faces, self.rejected_faces)

    def to_subject(self, now: datetime) -> Subject:
        """Return the subject to import, created and updated at `now`."""
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
