"""Subjects and their stored faces."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.domain.people import Consent, Subject, Template
from app.schemas.fields import ConsentReference, DisplayName, Expiry, Metadata, SubjectId
from app.security.receipts import SignedReceipt
from app.services.people.subjects import SubjectChanges


class SubjectIn(BaseModel):
    """A subject to create, without faces yet."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"subject": "emp-1042", "name": "Ada Acker", "metadata": {"team": 7}}},
    )

    subject: SubjectId
    name: DisplayName | None = None
    metadata: Metadata = Field(default_factory=dict)
    consent: ConsentReference | None = None
    expires_at: Expiry | None = None


class SubjectChangesIn(BaseModel):
    """What to change of a subject; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"expires_at": "2027-12-31T23:59:59Z"}})

    name: DisplayName | None = None
    metadata: Metadata | None = None
    expires_at: Expiry | None = None

    def changes(self) -> SubjectChanges:
        """As the service takes it: null empties a field, nothing leaves it."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if "metadata" in given and given["metadata"] is None:
            given["metadata"] = {}
        return SubjectChanges(**given)


class ConsentIn(BaseModel):
    """That a person agreed."""

    model_config = ConfigDict(extra="forbid")

    reference: ConsentReference


class ConsentOut(BaseModel):
    """A recorded consent."""

    reference: str
    recorded_at: datetime
    recorded_by: str = Field(description="`user:` or `key:` and an id.")
    withdrawn_at: datetime | None

    @classmethod
    def of(cls, consent: Consent) -> "ConsentOut":
        """From the domain's value."""
        return cls(
            reference=consent.reference,
            recorded_at=consent.recorded_at,
            recorded_by=consent.recorded_by,
            withdrawn_at=consent.withdrawn_at,
        )


class ReceiptOut(BaseModel):
    """A signed receipt of an erasure.

    `signature` (Ed25519, base64) covers `receipt` as JSON with sorted keys and no spaces; `GET /receipt-keys` gives the
    keys to trust.
    """

    receipt: dict[str, str | int] = Field(
        examples=[{"what": "subject.erased", "subject": "subject:6f0c...", "faces": 3, "audit_seq": 17}]
    )
    public_key: str
    signature: str

    @classmethod
    def of(cls, signed: SignedReceipt) -> "ReceiptOut":
        """From the service's result."""
        return cls(receipt=dict(signed.receipt), public_key=signed.public_key, signature=signed.signature)


class ReceiptKeysOut(BaseModel):
    """The public keys (Ed25519, base64) of this service, the current one first."""

    keys: list[str]


class SubjectOut(BaseModel):
    """One person in one collection."""

    subject: str
    name: str | None
    metadata: dict[str, Any]
    templates: int
    created_at: datetime
    updated_at: datetime
    consent: ConsentOut | None
    expires_at: datetime | None

    @classmethod
    def of(cls, subject: Subject) -> "SubjectOut":
        """From the domain's value."""
        return cls(
            subject=subject.subject,
            name=subject.name,
            metadata=subject.metadata,
            templates=subject.templates,
            created_at=subject.created_at,
            updated_at=subject.updated_at,
            consent=ConsentOut.of(subject.consent) if subject.consent is not None else None,
            expires_at=subject.expires_at,
        )


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
            face_id=template.id,
            recognizer=template.recognizer,
            detection_score=round(template.detection_score, 4),
            quality=template.quality,
            source=template.source,
            created_at=template.created_at,
        )


class StoredFacePage(BaseModel):
    """One page of stored faces."""

    items: list[StoredFaceOut]
    next_cursor: str | None
