"""Define the requests and responses of subjects, their stored faces, consents and erasure receipts."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from app.domain.people import CollectionFace, Consent, Subject, Template
from app.schemas import answer_fields as answer
from app.schemas.fields import ConsentReference, DisplayName, Expiry, Metadata, SubjectId
from app.schemas.origins import OriginOut, describe_origin
from app.schemas.request_body import RequestBody
from app.security.receipts import SignedReceipt
from app.services.paging import Page
from app.services.people.rules import anonymous_name
from app.services.people.subjects import SubjectChanges

_PUBLIC_KEY = "Y2hlY2sgcmVjZWlwdHMgd2l0aCB0aGlzIGtleSBvbmw="
_SIGNATURE = "c2lnbmF0dXJlIG9mIHRoZSByZWNlaXB0IGFzIEpTT04..."


class SubjectIn(RequestBody):
    """A subject to create, without faces."""

    subject: SubjectId
    name: DisplayName | None = None
    metadata: Metadata = Field(default_factory=dict)
    consent: ConsentReference | None = None
    expires_at: Expiry | None = None


class SubjectChangesIn(RequestBody):
    """The fields of a subject to change. Omitted fields keep their values; null clears a field, but keeps the id."""

    subject: Annotated[SubjectId | None, Field(description="A new id for the person; null keeps the old one.")] = None
    name: DisplayName | None = None
    metadata: Metadata | None = None
    expires_at: Expiry | None = None

    def changes(self) -> SubjectChanges:
        """Return only the fields that the client sent; null metadata becomes an empty object."""
        changes = {name: getattr(self, name) for name in self.model_fields_set}
        if "metadata" in changes and changes["metadata"] is None:
            changes["metadata"] = {}
        if changes.get("subject") is None:
            changes.pop("subject", None)
        return SubjectChanges(**changes)


class ConsentIn(RequestBody):
    """A consent to record."""

    reference: ConsentReference


class ConsentOut(BaseModel):
    """A recorded consent."""

    reference: str = Field(examples=["form-2026-0117"])
    recorded_at: answer.CreatedAt
    recorded_by: answer.Actor = Field(description="`user:<id>` or `key:<id>`.")
    withdrawn_at: datetime | None = Field(description="Null while the consent is valid.", examples=[None])

    @classmethod
    def of(cls, consent: Consent) -> "ConsentOut":
        return cls(
            reference=consent.reference,
            recorded_at=consent.recorded_at,
            recorded_by=consent.recorded_by,
            withdrawn_at=consent.withdrawn_at,
        )


class ReceiptOut(BaseModel):
    """A signed receipt of an erasure. `GET /receipt-keys` returns the public keys to trust."""

    receipt: dict[str, str | int] = Field(
        description="What was erased.",
        examples=[{"action": "subject.erased", "subject": "subject:6f0c...", "faces": 3, "audit_seq": 17}],
    )
    public_key: str = Field(description="The Ed25519 public key in base64.", examples=[_PUBLIC_KEY])
    signature: str = Field(
        description="The Ed25519 signature in base64 of `receipt` as JSON with sorted keys and without spaces.",
        examples=[_SIGNATURE],
    )

    @classmethod
    def of(cls, signed: SignedReceipt) -> "ReceiptOut":
        return cls(receipt=dict(signed.receipt), public_key=signed.public_key, signature=signed.signature)


class ReceiptKeysOut(BaseModel):
    """The public keys that verify erasure receipts."""

    keys: list[str] = Field(
        description="Ed25519 public keys in base64, the current one first.", examples=[[_PUBLIC_KEY]]
    )


class SubjectOut(BaseModel):
    """A subject: one person in one collection."""

    subject: answer.SubjectText = Field(description="Your id for the person.")
    name: answer.Name | None
    metadata: dict[str, Any] = Field(examples=[{"department": "optics"}])
    templates: int = Field(description="Number of stored templates.", examples=[3])
    created_at: answer.CreatedAt
    updated_at: answer.UpdatedAt
    consent: ConsentOut | None = Field(description="Null if no consent was recorded.")
    expires_at: answer.ExpiresAt | None = Field(description="When the person will be erased. Null: no expiry.")

    @classmethod
    def of(cls, subject: Subject) -> "SubjectOut":
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
    next_cursor: answer.NextCursor


def write_subject_page(page: Page[Subject]) -> bytes:
    """Write a `SubjectPage` as JSON, without building and validating its models."""
    return to_json({"items": [_describe(subject) for subject in page.items], "next_cursor": page.next_cursor})


def _describe(subject: Subject) -> dict[str, Any]:
    """Return the fields of `SubjectOut`."""
    consent = subject.consent
    return {
        "subject": subject.subject,
        "name": subject.name,
        "metadata": subject.metadata,
        "templates": subject.templates,
        "created_at": subject.created_at,
        "updated_at": subject.updated_at,
        "consent": None
        if consent is None
        else {
            "reference": consent.reference,
            "recorded_at": consent.recorded_at,
            "recorded_by": consent.recorded_by,
            "withdrawn_at": consent.withdrawn_at,
        },
        "expires_at": subject.expires_at,
    }


class StoredFaceOut(OriginOut):
    """A stored face, without its embedding."""

    face_id: answer.FaceId
    recognizer: answer.Recognizer = Field(description="The recognizer that embedded the face.")
    detection_score: answer.DetectionScore = Field(
        description="How certain the detector was that this is a face, 0 to 1."
    )
    quality: dict[str, float] = Field(description="The quality measured at registration.", examples=[answer.QUALITY])
    source: str = Field(description="How the face was stored.", examples=["register"])
    created_at: answer.CreatedAt

    @classmethod
    def of(cls, template: Template) -> "StoredFaceOut":
        return cls(
            face_id=template.id,
            recognizer=template.recognizer,
            detection_score=round(template.detection_score, 4),
            quality=template.quality,
            source=template.source,
            created_at=template.created_at,
            **describe_origin(template.origin),
        )


class StoredFacePage(BaseModel):
    """One page of stored faces."""

    items: list[StoredFaceOut]
    next_cursor: answer.NextCursor


class CollectionFaceOut(OriginOut):
    """A stored face of a collection, and whose it is."""

    face_id: answer.FaceId
    subject: answer.SubjectText = Field(
        description="The face's subject: your id for the person, or an anonymous subject's id."
    )
    recognizer: answer.Recognizer = Field(description="The recognizer that embedded the face.")
    detection_score: answer.DetectionScore = Field(
        description="How certain the detector was that this is a face, 0 to 1."
    )

    @classmethod
    def of(cls, face: CollectionFace) -> "CollectionFaceOut":
        return cls(
            face_id=face.id,
            subject=face.subject or anonymous_name(face.id),
            recognizer=face.recognizer,
            detection_score=round(face.detection_score, 4),
            **describe_origin(face.origin),
        )


class CollectionFacePage(BaseModel):
    """One page of a collection's stored faces."""

    items: list[CollectionFaceOut]
    next_cursor: answer.NextCursor
